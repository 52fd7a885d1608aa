import { describe, expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import type { LatentError } from '../../src/error.ts'
import { floats, type Value, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { lower } from '../../src/execute/onnx/lower.ts'
import { encode } from '../../src/execute/onnx/proto.ts'
import { reference } from '../../src/execute/reference/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { E, type Either, pipe } from '../../src/prelude.ts'
import { devices, difference, feedsOf, graphOf, right, run } from './onnx-support.ts'

const zeros = { kind: 'zeros' } as const
const faults = (e: Either<readonly LatentError[], unknown>): readonly LatentError[] => (E.isLeft(e) ? e.left : [])

/** Adam on |w x - t|^2, written out. */
const adam = (): Graph => {
  const [x, t] = [D.input('x', float(3, 4)), D.input('t', float(3, 2))]
  const w = D.parameter('net', 'weight', [4, 2], zeros)
  const [m, v] = [D.input('m/net.weight', float(4, 2)), D.input('v/net.weight', float(4, 2))]
  const error = pipe(x, D.matmul(w), D.sub(t))
  const gradient = pipe(x, D.matmul(error, { transposeA: true }))
  const mNext = pipe(m, D.mul(0.9), D.add(pipe(gradient, D.mul(0.1))))
  const vNext = pipe(v, D.mul(0.99), D.add(pipe(gradient, D.square, D.mul(0.01))))
  const wNext = pipe(w, D.sub(pipe(mNext, D.div(pipe(vNext, D.sqrt, D.add(1e-3))), D.mul(0.1))))
  return graphOf({ loss: D.squaredNorm(error), w: wNext, m: mNext, v: vNext })
}
/** Second moments are never negative. */
const adamFeeds = (): Values => {
  const all = feedsOf(adam())
  const moment = all['v/net.weight']
  return moment === undefined
    ? all
    : { ...all, 'v/net.weight': floats(moment.shape, Float32Array.from(moment.data, Math.abs)) }
}
const carry = { w: 'net.weight', m: 'm/net.weight', v: 'v/net.weight' }

describe.each(await devices())('onnx:%s', (device) => {
  const executor = onnx(device)
  const compile = async (g: Graph, options: Parameters<typeof executor.compile>[1] = { mode: 'training' }) =>
    right(await executor.compile(g, options)())

  test('a stepper follows the reference, and leaves what it was given alone', async () => {
    const g = adam()
    const { x, t, ...start } = adamFeeds()
    if (x === undefined || t === undefined) throw new Error('no x or t')
    const before = JSON.stringify(start)
    const [ours, theirs] = await Promise.all(
      [executor, reference].map(async (e) =>
        right(await right(await e.compile(g, { mode: 'training' })()).start(carry, start)()),
      ),
    )
    if (ours === undefined || theirs === undefined) throw new Error('no stepper')
    for (let i = 0; i < 5; i++) {
      const [a, b] = [right(await ours.step({ x, t })()), right(await theirs.step({ x, t })())]
      expect(Object.keys(a)).toEqual(['loss'])
      expect(difference(a.loss, b.loss)).toBeLessThan(1e-5)
    }
    const [a, b] = [right(await ours.read()), right(await theirs.read())]
    for (const leaf of Object.values(carry)) expect(difference(a[leaf], b[leaf])).toBeLessThan(1e-5)
    const again = right(await ours.read())
    right(await ours.step({ x, t })())
    expect(again).toEqual(a)
    expect(JSON.stringify(start)).toBe(before)
    ours.dispose()
    ours.dispose()
    expect(faults(await ours.step({ x, t })())).toMatchObject([{ tag: 'run', got: 'one that was disposed of' }])
    expect(faults(await ours.read())).toMatchObject([{ tag: 'run' }])
  })

  test('a second step while one runs is an error', async () => {
    const g = adam()
    const { x, t, ...start } = adamFeeds()
    if (x === undefined || t === undefined) throw new Error('no x or t')
    const stepper = right(await (await compile(g)).start(carry, start)())
    const [first, second] = await Promise.all([stepper.step({ x, t })(), stepper.step({ x, t })()])
    expect(E.isRight(first)).toBe(true)
    expect(faults(second)).toMatchObject([{ tag: 'run', got: 'a step while another runs' }])
    right(await stepper.step({ x, t })())
    stepper.dispose()
  })

  test('two runs are equal to the bit', async () => {
    const g = adam()
    const [a, b] = [await run(executor, g, adamFeeds()), await run(executor, g, adamFeeds())]
    expect(a).toEqual(b)
  })

  test('every feed that does not fit is named', async () => {
    const program = await compile(adam())
    const feeds = adamFeeds()
    const wrong = await program.run({
      ...Object.fromEntries(Object.entries(feeds).filter(([name]) => name !== 'x')),
      t: floats([2, 3], new Float32Array(6)),
      'net.weight': floats([4, 2], new Float32Array(7)),
      'net.wieght': floats([4, 2], new Float32Array(8)),
    })()
    expect(faults(wrong)).toMatchObject([
      { tag: 'run', at: 'net.wieght', hint: 'did you mean "net.weight"?' },
      { tag: 'run', at: 'x', expected: 'float32[3, 4]', got: 'nothing' },
      { tag: 'run', at: 'net.weight', expected: '8 numbers for float32[4, 2]', got: '7 numbers' },
      { tag: 'run', at: 't', expected: 'float32[3, 2]', got: 'float32[2, 3]' },
    ])
    program.dispose()
    program.dispose()
    expect(faults(await program.run(feeds)())).toMatchObject([{ tag: 'run', got: 'one that was disposed of' }])
  })

  test('a carry that does not fit is an error', async () => {
    const program = await compile(adam())
    const { x: _x, t: _t, ...start } = adamFeeds()
    expect(faults(await program.start({ lost: 'net.weight' }, start)())).toMatchObject([{ tag: 'run', at: 'lost' }])
    expect(faults(await program.start({ loss: 'net.weight' }, start)())).toMatchObject([
      { tag: 'run', at: 'net.weight' },
    ])
    expect(faults(await program.start(carry, {})())).toHaveLength(3)
    program.dispose()
  })

  test('constants are baked in and no longer fed', async () => {
    const g = adam()
    const { 'net.weight': weight, ...rest } = adamFeeds()
    if (weight === undefined) throw new Error('no weight')
    for (const mode of ['sampling', 'training'] as const) {
      const program = await compile(g, { mode, constants: { 'net.weight': weight } })
      const [got, expected] = [right(await program.run(rest)()), await run(reference, g, adamFeeds())]
      for (const name of Object.keys(expected)) expect(difference(got[name], expected[name])).toBeLessThan(2e-6)
      expect(faults(await program.run(adamFeeds())())).toMatchObject([{ tag: 'run', at: 'net.weight' }])
      program.dispose()
    }
    const wrong = await executor.compile(g, { mode: 'sampling', constants: { nothing: weight, x: weight } })()
    expect(faults(wrong)).toMatchObject([
      { tag: 'compile', at: 'nothing' },
      { tag: 'compile', at: 'x' },
    ])
  })

  test('float64 and shared memory are taken as feeds', async () => {
    const g = graphOf({ y: pipe(D.input('x', float(3)), D.mul(2)) })
    const shared = new Float32Array(new SharedArrayBuffer(12))
    shared.set([1, 2, 3])
    for (const data of [shared, Float64Array.of(1, 2, 3)])
      expect(await run(executor, g, { x: floats([3], data) })).toEqual({ y: floats([3], Float32Array.of(2, 4, 6)) })
  })

  test('what a run returned stays as it was', async () => {
    const g = graphOf({ y: pipe(D.input('x', float(3)), D.mul(2)), z: D.input('x', float(3)) })
    const program = await compile(g)
    const data = Float32Array.of(1, 2, 3)
    const first = right(await program.run({ x: floats([3], data) })())
    data.fill(9)
    right(await program.run({ x: floats([3], data) })())
    expect(first).toEqual({ y: floats([3], Float32Array.of(2, 4, 6)), z: floats([3], Float32Array.of(1, 2, 3)) })
    program.dispose()
  })

  test('disposing while a run waits does no harm', async () => {
    const program = await compile(adam())
    const waiting = program.run(adamFeeds())()
    program.dispose()
    await waiting
    expect(faults(await program.run(adamFeeds())())).toHaveLength(1)
  })
})

describe('lowering', () => {
  const target = { device: 'cpu', mode: 'training', block: null } as const
  const model = (outputs: Readonly<Record<string, Tensor>>) => right(lower(graphOf(outputs), target))
  const ops = (outputs: Readonly<Record<string, Tensor>>): readonly string[] => model(outputs).nodes.map((n) => n.op)
  const x = D.input('x', float(2, 4, 8, 8))
  const conv = D.conv2d(D.parameter('c', 'weight', [4, 4, 3, 3], zeros), { stride: [1, 1], padding: [1, 1, 1, 1] })(x)
  const bias = D.reshape(4, 1, 1)(D.parameter('c', 'bias', [4], zeros))

  test('the same graph gives the same bytes', () => {
    expect(encode(right(lower(adam(), target)))).toEqual(encode(right(lower(adam(), target))))
  })
  test('a bias is taken along by the convolution that nothing else reads', () => {
    expect(ops({ y: pipe(conv, D.add(bias)) })).toEqual(['Conv'])
    expect(ops({ y: pipe(conv, D.add(bias)), conv })).toEqual(['Conv', 'Reshape', 'Add'])
  })
  test('convolutions are blocked where the processor has blocks that fit, and there are positions enough', () => {
    const ops = (n: number, block: number | null) => {
      const from = D.input('x', float(n, 16, 8, 8))
      const weight = D.parameter('c', 'weight', [32, 16, 3, 3], zeros)
      const y = D.conv2d(weight, { stride: [1, 1], padding: [1, 1, 1, 1] })(from)
      return right(lower(graphOf({ y }), { ...target, block })).nodes.map((n) => n.op)
    }
    expect(ops(4, 16)).toEqual([
      'ReorderInput',
      'Reshape',
      'ReorderInput',
      'Reshape',
      'Transpose',
      'Reshape',
      'Conv',
      'ReorderOutput',
    ])
    expect([ops(4, null), ops(1, 16), ops(4, 32)]).toEqual([['Conv'], ['Conv'], ['Conv']])
  })
  test('normalisations of the same x share one node', () => {
    const g = { groups: 2, eps: 1e-5 }
    const [w, b] = [D.parameter('n', 'weight', [4], zeros), D.parameter('n', 'bias', [4], zeros)]
    const all = ops({ y: D.groupNorm(w, b, g)(x), s: D.standardize(g)(x), r: D.groupRstd(g)(x) })
    expect(all.filter((op) => op === 'LayerNormalization')).toHaveLength(1)
  })
  test('stopGradient, mark and nothing read cost no node', () => {
    expect(ops({ y: D.neg(D.stopGradient(D.claims('raw latents')(D.mul(1)(x)))) })).toEqual(['Mul', 'Neg'])
  })
  test('a graph whose types are not true is refused', () => {
    const g = graphOf({ y: D.neg(x) })
    const lie = g.nodes.map((n) => (n.op === 'neg' ? { ...n, type: float(3) } : n))
    expect(faults(lower({ ...g, nodes: lie }, target))).toMatchObject([
      { tag: 'compile', expected: 'float32[2, 4, 8, 8]', got: 'float32[3]' },
    ])
    expect(faults(lower({ ...g, outputs: { y: 7 } }, target))).toMatchObject([{ tag: 'compile', at: 'y' }])
  })
  test('constants beyond what a model can hold are a compile error', async () => {
    const n = 20_000
    const g = graphOf({ y: D.neg(D.parameter('', 'w', [n, n], zeros)) })
    const w: Value = floats([n, n], new Float32Array(n * n))
    expect(faults(await onnx('cpu').compile(g, { mode: 'sampling', constants: { w } })())).toMatchObject([
      { tag: 'compile', expected: 'at most 1.5 GB of constants in a model', got: '1.6 GB' },
    ])
  })
})
