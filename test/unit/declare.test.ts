import { describe, expect, test } from 'vitest'
import {
  add,
  argMax,
  at,
  buffer,
  concat,
  constant,
  conv2d,
  freeze,
  gather,
  groupNorm,
  input,
  integers,
  matmul,
  maxPool,
  mean,
  mul,
  neg,
  noise,
  pad,
  parameter,
  reshape,
  scatterAdd,
  shared,
  slice,
  softmax,
  split,
  standardize,
  sum,
  sumAll,
  type Tensor,
  thaw,
  transpose,
  unsqueeze,
  upsampleNearest,
} from '../../src/declare/index.ts'
import { type Errors, showErrors } from '../../src/error.ts'
import { feedTypes, outputTypes, parameters } from '../../src/graph/graph.ts'
import { float, int } from '../../src/graph/types.ts'
import * as nn from '../../src/nn/index.ts'
import { E, flow, pipe } from '../../src/prelude.ts'
import { grad } from '../../src/transform/index.ts'

const faults = (outputs: Readonly<Record<string, Tensor>>): Errors => {
  const frozen = freeze(outputs)
  if (E.isRight(frozen)) throw new Error('no fault was found')
  return frozen.left
}
const weight = (scope: string, ...shape: readonly number[]): Tensor =>
  parameter(scope, 'weight', shape, { kind: 'zeros' })
const linear =
  (scope: string, from: number, to: number) =>
  (x: Tensor): Tensor =>
    pipe(x, matmul(weight(scope, to, from), { transposeB: true }))
const zeros = { kind: 'zeros' } as const
const window = { stride: [1, 1], padding: [0, 0, 0, 0] } as const

describe('shape faults', () => {
  test('every root cause of one expression is reported, each with its scope', () => {
    const x = input('x', float(4, 8))
    const left = pipe(x, linear(at('net', 'left'), 7, 3), neg, sum())
    const right = pipe(x, linear(at('net', 'right'), 9, 3), add(1))
    const errors = faults({ loss: pipe(left, add(sum()(right))), other: pipe(x, reshape(5)) })
    expect(errors.map((e) => [e.tag, e.at])).toEqual([
      ['shape', 'net.left (matmul)'],
      ['shape', 'net.right (matmul)'],
      ['shape', '(root) (reshape)'],
    ])
    expect(errors[0]).toMatchObject({
      expected: 'inner dimensions that agree',
      got: '8 and 7 in float32[4, 8] and float32[3, 7]',
    })
  })
  test('a fault is reported once, however often its result is used', () => {
    const bad = pipe(input('x', float(2)), add(input('y', float(3))))
    expect(faults({ a: neg(bad), b: pipe(bad, mul(bad)), c: bad })).toHaveLength(1)
  })
  test('building on a fault does not throw', () => {
    const bad = pipe(input('x', float(2)), reshape(3))
    const built = pipe(bad, unsqueeze(0), conv2d(weight('c', 4, 3, 3, 3), window), softmax(-1), concat.bind(null, 1))
    expect(faults({ parts: concat(0, ...split(2, 0)(built)) })).toHaveLength(1)
  })

  const x = input('x', float(2, 3))
  const picture = input('picture', float(1, 4, 5, 5))
  test.each<readonly [string, Tensor]>([
    ['an axis beyond the rank', softmax(2)(x)],
    ['an axis before the first', softmax(-3)(x)],
    ['a reduced axis before the first', sum({ axes: [-3] })(x)],
    ['an axis reduced twice', sum({ axes: [0, -2] })(x)],
    ['the greatest of nothing', argMax(0)(input('e', float(0)))],
    ['negative dimensions whose product fits', reshape(-2, -3)(x)],
    ['half a dimension', reshape(1.5, 4)(x)],
    ['an input of negative size', input('n', float(-1))],
    ['a parameter of negative size', weight('w', -1)],
    ['too few numbers', constant([1, 2], float(3))],
    ['a number that is not finite', constant([Number.NaN], float())],
    ['a permutation that drops an axis', transpose(0, 0)(x)],
    ['a slice that reaches out', slice([0, 2], [2, 2])(x)],
    ['a slice from half an element', slice([0.5, 0], [1, 3])(x)],
    ['padding that cuts', pad([-1, 0], [1, 0])(x)],
    ['pieces that differ along another axis', concat(0, x, input('z', float(2, 2)))],
    ['a concatenation along no axis', concat(-3, x, x)],
    ['a concatenation of nothing', concat(0)],
    ['two dtypes', pipe(x, add(input('i', int(2, 3))))],
    ['float indices', pipe(x, gather(x))],
    ['updates that are not numbers', pipe(constant([1], { dtype: 'bool', shape: [1] }), scatterAdd(integers([0]), 1))],
    ['a kernel larger than its input', pipe(picture, conv2d(weight('k', 1, 4, 6, 6), window))],
    ['channels that differ', pipe(picture, conv2d(weight('k', 1, 3, 3, 3), window))],
    ['a stride of 0', pipe(picture, conv2d(weight('k', 1, 4, 3, 3), { ...window, stride: [0, 1] }))],
    ['negative padding', pipe(picture, conv2d(weight('k', 1, 4, 3, 3), { ...window, padding: [-1, 1, 1, 1] }))],
    ['groups that do not divide the channels', pipe(picture, standardize({ groups: 3, eps: 0 }))],
    ['a negative number of groups', pipe(picture, standardize({ groups: -2, eps: 0 }))],
    ['an affine of other channels', pipe(picture, groupNorm(weight('n', 3), weight('m', 3), { groups: 2, eps: 0 }))],
    ['upsampling by half', pipe(picture, upsampleNearest(1.5, 2))],
    ['windows that do not fill', pipe(picture, maxPool(3, 1))],
  ])('%s', (_, y) => expect(faults({ y }).map((e) => e.tag)).toEqual(['shape']))
})

describe('names', () => {
  test('one name with two shapes is refused', () => {
    const [a, b] = [weight('conv', 2), weight('conv', 3)]
    const [error, ...rest] = faults({ y: pipe(sum()(a), add(sum()(b))) })
    expect(rest).toEqual([])
    expect(error).toMatchObject({
      tag: 'graph',
      at: 'conv.weight',
      expected: 'parameter float32[2], as declared before',
      got: 'parameter float32[3]',
    })
  })
  test('one name for an input and for noise is refused', () => {
    expect(faults({ y: pipe(input('z', float(2)), add(noise('z', [2]))) })[0].got).toBe('noise float32[2]')
  })
  test('one input declared twice is one feed', () => {
    const frozen = freeze({ y: pipe(input('w', float(2)), add(input('w', float(2)))) })
    expect(E.isRight(frozen) && feedTypes(frozen.right)).toEqual({ w: float(2) })
  })
  test('scopes nest with dots, and an op belongs to the last scoped argument', () => {
    expect(at(at('decoder', 'up'), 1)).toBe('decoder.up.1')
    const y = pipe(input('x', float(1, 2)), linear('out', 2, 2), neg)
    expect(y.scope).toBe('out')
  })
})

test('a chain of 50,000 ops freezes and thaws without overflowing the stack', () => {
  const chain = Array.from({ length: 50_000 }).reduce<Tensor>((y) => pipe(y, neg), input('x', float(2)))
  const frozen = freeze({ y: chain })
  if (E.isLeft(frozen)) throw new Error('the chain does not freeze')
  expect(frozen.right.nodes).toHaveLength(50_001)
  expect(freeze(thaw(frozen.right))).toEqual(frozen)
})
test('a ladder of shared expressions freezes in as many nodes as it has rungs', () => {
  const ladder = Array.from({ length: 200 }).reduce<Tensor>((y) => pipe(y, add(y)), input('x', float()))
  const frozen = freeze({ y: ladder })
  expect(E.isRight(frozen) && frozen.right.nodes.length).toBe(201)
  expect(E.isRight(frozen) && outputTypes(frozen.right)).toEqual({ y: float() })
})

describe('what has no gradient', () => {
  const x = input('x', float(2, 3))
  const seen = (loss: Tensor, ...wrt: readonly Tensor[]) =>
    faults(Object.fromEntries(grad(loss, wrt).map((dx, i) => [String(i), dx])))
  test('a loss of many numbers is told so, once, with a way on', () => {
    const loss = pipe(x, linear('head', 3, 4))
    expect(seen(loss, x, weight('head', 4, 3))).toEqual([
      {
        tag: 'shape',
        at: 'head (grad)',
        expected: 'a scalar loss of floats',
        got: 'float32[2, 4]',
        hint: 'sum or mean it first: pipe(loss, mean())',
      },
    ])
  })
  test('the hint works, and one number of any rank is a scalar', () => {
    for (const loss of [pipe(x, mean()), pipe(x, sum({ keepDims: true }))])
      expect(grad(loss, [x]).map((dx) => [dx.fault, dx.shape])).toEqual([[undefined, [2, 3]]])
  })
  test('integers have none, neither as a loss nor as a variable', () => {
    const index = input('index', int())
    expect(seen(index, x).map(({ at: place, got }) => [place, got])).toEqual([['index (grad)', 'int32[]']])
    const table = pipe(weight('table', 5), gather(index))
    expect(seen(table, index).map(({ at: place, got }) => [place, got])).toEqual([['index (grad)', 'int32[]']])
  })
})

describe('parameters of one name', () => {
  const x = input('x', float(2, 4))
  const dense = (scope: string) => nn.linear(scope, { out: 4 })
  /** The parameters of what is sound. */
  const parametersOf = (y: Tensor) => {
    const frozen = freeze({ y })
    if (E.isLeft(frozen)) throw new Error(showErrors(frozen.left))
    return parameters(frozen.right).map(({ name }) => name)
  }
  const pair = (scope: string) => ['bias', 'weight'].map((name) => `${scope}.${name}`)
  const lineOf = (error: Error): number => Number(/declare\.test\.ts:(\d+)/.exec(error.stack ?? '')?.[1])

  test('where arrays are given by name, layers share by name', () => {
    const outputs = { y: pipe(x, nn.linear('head', { out: 4 }), neg, nn.linear('head', { out: 4 })) }
    expect(E.isLeft(freeze(outputs))).toBe(true)
    expect(E.isRight(freeze(outputs, { sharing: 'by name' }))).toBe(true)
  })

  test('two layers under one scope are one error, which names both places', () => {
    const line = lineOf(new Error())
    const first = nn.linear('head', { out: 4 })
    const second = nn.linear('head', { out: 4 })
    const errors = faults({ y: pipe(x, first, neg, second) })
    expect(errors.map((e) => [e.tag, e.at, e.expected])).toEqual([
      ['graph', 'head.weight', 'one layer with a parameter of this name'],
    ])
    const [{ got, hint }] = errors
    expect(got).toMatch(
      /^two, at \S.*declare\.test\.ts:\S+ and at \S.*declare\.test\.ts:\S+; they have 2 names in common$/,
    )
    expect(Array.from(got.matchAll(/ts:(\d+)/g), ([, n]) => Number(n))).toEqual([line + 1, line + 2])
    expect(hint).toContain('apply one layer twice')
  })
  test('networks declared twice are one error, not one a parameter', () => {
    const net = (scope: string) => (from: Tensor) => pipe(from, dense(at(scope, 0)), dense(at(scope, 1)))
    const twice = [net('net'), net('net')].map((layer) => layer(x))
    const errors = faults({ y: concat(0, ...twice) })
    expect(errors.map((e) => [e.at, e.got.replace(/both at [^;]*/, '')])).toEqual([
      ['net.0.weight', 'two, ; they have 4 names in common'],
    ])
  })
  test('parameters and buffers, too', () => {
    expect(faults({ y: pipe(weight('w', 2), add(weight('w', 2))) })[0].at).toBe('w.weight')
    expect(faults({ y: pipe(buffer('b', 'n', [2], zeros), add(buffer('b', 'n', [2], zeros))) })[0].at).toBe('b.n')
    const both = pipe(buffer('b', 'n', [2], zeros), add(parameter('b', 'n', [2], zeros)))
    expect(faults({ both })[0].at).toBe('b.n')
  })
  test('one layer that is applied twice shares its weights', () => {
    const layer = dense('head')
    expect(parametersOf(pipe(x, layer, neg, layer))).toEqual(['head.weight', 'head.bias'])
  })
  test("shared makes a layer of one's own, of any arguments and results, one that shares", () => {
    const net = shared((from: Tensor, by: number) => {
      const h = pipe(from, dense('net.0'), mul(by))
      return { h, y: pipe(h, neg, dense('net.1')) }
    })
    const y = sumAll(net(x, 2).y, net(x, 3).h, net(net(x, 4).y, 1).y)
    expect(new Set(parametersOf(y))).toEqual(new Set([...pair('net.0'), ...pair('net.1')]))
  })
  test('two layers of one application do not share, however often it is applied, nor where a layer outside has the name', () => {
    const net = shared((from: Tensor) => pipe(from, dense('net'), dense('net')))
    expect(faults({ y: net(net(x)) })[0].at).toBe('net.weight')
    const outer = dense('net')
    const inner = shared((from: Tensor) => pipe(from, dense('net')))
    expect(faults({ y: inner(outer(x)) })[0].at).toBe('net.weight')
    const around = shared((from: Tensor) => outer(outer(from)))
    expect(new Set(parametersOf(around(outer(around(x)))))).toEqual(new Set(pair('net')))
  })
  test('a layer that is applied to other shapes is a conflict of types', () => {
    const layer = nn.linear('head', { out: 3 })
    expect(faults({ y: pipe(x, layer, layer) }).map((e) => [e.at, e.got])).toEqual([
      ['head.weight', 'parameter float32[3, 3]'],
    ])
  })
  test('a fault while a layer is applied leaves the next one alone', () => {
    const broken = shared((): Tensor => {
      throw new Error('a bug of its own')
    })
    expect(broken).toThrow('a bug of its own')
    expect(faults({ y: pipe(x, dense('a'), dense('a')) })[0].at).toBe('a.weight')
  })
  test('a graph that is thawed twice is one model', () => {
    const frozen = freeze({ y: dense('head')(x) })
    if (E.isLeft(frozen)) throw new Error('a fault')
    const [a = x, b = x] = [thaw(frozen.right).y, thaw(frozen.right).y]
    expect(parametersOf(pipe(a, add(b)))).toContain('head.weight')
  })
  const networks: Readonly<Record<string, (s: string) => (x: Tensor) => Tensor>> = {
    conv2d: (s) => nn.conv2d(s, { out: 8, kernel: 3, padding: 1 }),
    conv1d: (s) => flow(reshape(2, 8, 16), nn.conv1d(s, { out: 8 }), reshape(2, 8, 4, 4)),
    linear: (s) => nn.linear(s, { out: 4 }),
    groupNorm: (s) => nn.groupNorm(s, { groups: 2 }),
    layerNorm: (s) => nn.layerNorm(s),
    sequential: (s) =>
      nn.sequential(
        (i) => nn.conv2d(i, { out: 8, kernel: 1 }),
        (i) => nn.groupNorm(i, { groups: 4 }),
      )(s),
    batchNorm: (s) => {
      const layer = nn.batchNorm(s)
      return (h) => layer({ y: h, buffers: {} }).y
    },
    attnBlock: (s) => nn.attnBlock(s, 4),
    linearAttention: (s) => nn.linearAttention(s, { heads: 2, headChannels: 4 }),
    attentionBlock: (s) =>
      flow(
        nn.conv2d(at(s, 'to'), { out: 32, kernel: 1 }),
        nn.attentionBlock(s, { heads: 2, order: 'new' }),
        nn.conv2d(at(s, 'back'), { out: 8, kernel: 1 }),
      ),
    resnetBlock: (s) => nn.autoencoderBlocks.resnetBlock(s, { groups: 4 }),
    vectorQuantizer: (s) => {
      const layer = nn.vectorQuantizer(s, { entries: 5, dim: 8, beta: 0.25, weighs: 'beta' })
      return (h) => layer(h).y
    },
  }
  const map = input('map', float(2, 8, 4, 4))
  test.each(Object.entries(networks))('%s of the library shares with itself alone', (_, make) => {
    const layer = make('s')
    const once = parametersOf(layer(map))
    expect(once.length).toBeGreaterThan(0)
    expect(new Set(parametersOf(layer(layer(map))))).toEqual(new Set(once))
    expect(faults({ y: make('s')(make('s')(map)) }).length).toBeGreaterThan(0)
  })
})
