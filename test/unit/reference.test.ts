import { describe, expect, test } from 'vitest'
import {
  abs,
  add,
  argMax,
  argMin,
  cast,
  concat,
  constant,
  conv2d,
  convWeightGrad,
  div,
  equal,
  erf as erfOf,
  freeze,
  gather,
  groupNorm,
  input,
  integers,
  less,
  matmul,
  maximum,
  maxPool,
  minimum,
  mul,
  neg,
  pad,
  parameter,
  reduceMax,
  scatterAdd,
  select,
  sign,
  slice,
  softmax,
  sum,
  type Tensor,
  transpose,
  upsampleNearest,
} from '../../src/declare/index.ts'
import type { Errors } from '../../src/error.ts'
import { floats, ints, type Value, type Values } from '../../src/execute/executor.ts'
import { erf } from '../../src/execute/reference/erf.ts'
import { plan } from '../../src/execute/reference/evaluate.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float, int, type Shape, size } from '../../src/graph/types.ts'
import { E, type Either, pipe } from '../../src/prelude.ts'

const right = <A>(x: Either<unknown, A>): A => {
  if (E.isLeft(x)) throw new Error(JSON.stringify(x.left))
  return x.right
}
const left = <A>(x: Either<Errors, A>): Errors => {
  if (E.isRight(x)) throw new Error(`no error, but ${JSON.stringify(x.right)}`)
  return x.left
}
const vec = (...data: number[]): Value => floats([data.length], Float64Array.from(data))
const compiled = async (outputs: Readonly<Record<string, Tensor>>, constants: Values = {}) =>
  right(await reference.compile(right(freeze(outputs)), { mode: 'sampling', constants })())
/** The elements of an expression that needs no feeds. */
const numbers = async (y: Tensor, feeds: Values = {}): Promise<readonly number[]> => {
  const program = await compiled({ y })
  return Array.from(right(await program.run(feeds)()).y?.data ?? [])
}
const failing = async (y: Tensor, feeds: Values = {}): Promise<Errors> =>
  left(await (await compiled({ y })).run(feeds)())

const floatsOf = (data: readonly number[], ...shape: Shape): Tensor => constant(data, float(...shape))
const iota = (...shape: Shape): Tensor =>
  constant(
    Array.from({ length: size(shape) }, (_, i) => i),
    float(...shape),
  )
const x = input('x', float(3))

describe('erf', () => {
  // mpmath, 25 digits
  test.each([
    [1e-8, 1.1283791670955126e-8],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [0.9, 0.7969082124228322],
    [1.3, 0.9340079449406524],
    [1.9999, 0.9953201979070294],
    [2, 0.9953222650189527],
    [2.5, 0.999593047982555],
    [3, 0.9999779095030014],
    [3.7, 0.9999998328489421],
    [4.5, 0.9999999998033839],
    [5.5, 0.9999999999999927],
    [6.1, 1],
    [Infinity, 1],
    [0, 0],
  ])('of %f', (at, expected) => {
    expect(Math.abs(erf(at) - expected)).toBeLessThanOrEqual(1e-15 * expected)
    expect(erf(-at)).toBe(-erf(at))
  })
  test('of NaN', () => expect(erf(Number.NaN)).toBeNaN())
})

describe('conventions', () => {
  test('int32 arithmetic wraps', async () => {
    const big = integers([2 ** 31 - 1, -(2 ** 31), 65537])
    expect(await numbers(pipe(big, add(1)))).toEqual([-(2 ** 31), -(2 ** 31) + 1, 65538])
    expect(await numbers(pipe(big, mul(big)))).toEqual([1, 0, 131073])
    expect(await numbers(pipe(big, sum()))).toEqual([65536])
    expect(await numbers(neg(big))).toEqual([-(2 ** 31) + 1, -(2 ** 31), -65537])
    expect(await numbers(pipe(integers([2 ** 31 - 1, 1]), scatterAdd(integers([0, 0]), 1)))).toEqual([-(2 ** 31)])
  })
  test('int32 quotients are cut towards 0', async () => {
    expect(await numbers(pipe(integers([7, -7, 7]), div(integers([2, 2, -2]))))).toEqual([3, -3, -3])
  })
  test('casts cut towards 0, and anything but 0 is true', async () => {
    expect(await numbers(pipe(floatsOf([1.9, -1.9, 0.5], 3), cast('int32')))).toEqual([1, -1, 0])
    expect(await numbers(pipe(floatsOf([0, -0.1, 3], 3), cast('bool')))).toEqual([0, 1, 1])
    expect(await numbers(pipe(integers([0, 5]), cast('bool'), cast('float32')))).toEqual([0, 1])
  })
  test('sign of 0 is 0', async () => expect(await numbers(sign(floatsOf([-2, 0, 3], 3)))).toEqual([-1, 0, 1]))
  test('maximum and minimum propagate NaN', async () => {
    const feeds = { x: vec(Number.NaN, 1, -1) }
    expect(await numbers(pipe(x, maximum(0)), feeds)).toEqual([Number.NaN, 1, 0])
    expect(await numbers(pipe(floatsOf([0], 3), minimum(x)), feeds)).toEqual([Number.NaN, 0, -1])
    expect(await numbers(pipe(x, reduceMax()), feeds)).toEqual([Number.NaN])
  })
  test('the first of equals wins', async () => {
    const ties = floatsOf([1, 3, 3, 0, 0, 2], 2, 3)
    expect(await numbers(argMax(1)(ties))).toEqual([1, 2])
    expect(await numbers(argMin(1)(ties))).toEqual([0, 0])
    expect(await numbers(argMax(0)(ties))).toEqual([0, 0, 0])
  })
  test('softmax does not overflow', async () => {
    expect(await numbers(softmax(0)(floatsOf([1000, 1000], 2)))).toEqual([0.5, 0.5])
    expect(await numbers(pipe(floatsOf([-1000, 0], 2), softmax(-1)))).toEqual([0, 1])
  })
  test('an index outside is an error that names the place', async () => {
    const table = parameter('embedding', 'weight', [3, 2], { kind: 'zeros' })
    const [fault] = await failing(pipe(table, gather(input('i', int(2)))), {
      'embedding.weight': floats([3, 2], new Float64Array(6)),
      i: ints([2], Int32Array.of(1, 3)),
    })
    expect(fault).toMatchObject({
      tag: 'run',
      at: 'embedding (gather)',
      expected: 'indices of at least 0 and below 3',
      got: '3 at position 1',
    })
    expect(await failing(pipe(iota(1), scatterAdd(integers([-1]), 2)))).toHaveLength(1)
  })
})

describe('ops by hand', () => {
  test('broadcasting', async () => {
    expect(await numbers(pipe(iota(2, 1), add(iota(3))))).toEqual([0, 1, 2, 1, 2, 3])
    expect(await numbers(pipe(iota(2, 1), less(iota(3))))).toEqual([0, 1, 1, 0, 0, 1])
    expect(await numbers(pipe(iota(2, 1), equal(iota(3)), select(iota(3), neg(iota(2, 1)))))).toEqual([
      0, -0, -0, -1, 1, -1,
    ])
  })
  test('reductions', async () => {
    expect(await numbers(pipe(iota(2, 3), sum({ axes: [0] })))).toEqual([3, 5, 7])
    expect(await numbers(pipe(iota(2, 3), sum({ axes: [1], keepDims: true })))).toEqual([3, 12])
    expect(await numbers(pipe(neg(iota(2, 3)), reduceMax({ axes: [-1] })))).toEqual([-0, -3])
    expect(await numbers(pipe(iota(2, 0), sum({ axes: [1] })))).toEqual([0, 0])
  })
  test('matmul, transposed and batched', async () => {
    const [a, b] = [iota(2, 3), iota(3, 2)]
    expect(await numbers(pipe(a, matmul(b)))).toEqual([10, 13, 28, 40])
    expect(
      await numbers(pipe(a, transpose(1, 0), matmul(pipe(b, transpose(1, 0)), { transposeA: true, transposeB: true }))),
    ).toEqual([10, 13, 28, 40])
    expect(await numbers(pipe(iota(2, 1, 3), matmul(b)))).toEqual([10, 13, 28, 40])
  })
  test('convolution with stride and uneven padding', async () => {
    const window = { stride: [2, 1], padding: [0, 0, 1, 1] } as const
    const y = pipe(iota(1, 1, 3, 3), conv2d(floatsOf([1], 1, 1, 2, 2), window))
    expect(y.shape).toEqual([1, 1, 2, 3])
    expect(await numbers(y)).toEqual([8, 12, 7, 13, 15, 8])
    expect(await numbers(pipe(floatsOf([1], 1, 1, 2, 3), convWeightGrad(iota(1, 1, 3, 3), [2, 2], window)))).toEqual([
      24, 18, 12, 9,
    ])
  })
  test('movement', async () => {
    expect(await numbers(pipe(iota(2, 3), transpose(1, 0)))).toEqual([0, 3, 1, 4, 2, 5])
    expect(await numbers(pipe(iota(3, 3), slice([1, 0], [2, 2])))).toEqual([3, 4, 6, 7])
    expect(await numbers(pipe(iota(1, 2), pad([1, 0], [0, 1])))).toEqual([0, 0, 0, 0, 1, 0])
    expect(await numbers(concat(1, iota(2, 1), iota(2, 2)))).toEqual([0, 0, 1, 1, 2, 3])
    expect(await numbers(pipe(iota(3, 2), gather(integers([2, 0]))))).toEqual([4, 5, 0, 1])
    expect(await numbers(pipe(iota(3, 2), scatterAdd(integers([1, 0, 1]), 2)))).toEqual([2, 3, 4, 6])
    expect(await numbers(pipe(iota(1, 1, 1, 2), upsampleNearest(2, 3)))).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1])
    expect(await numbers(pipe(iota(1, 1, 2, 4), maxPool(2, 2)))).toEqual([5, 7])
  })
  test('group norm', async () => {
    const y = pipe(
      floatsOf([1, 3, 5, 7], 1, 4, 1),
      groupNorm(floatsOf([1, 1, 2, 2], 4), floatsOf([0, 0, 0, 1], 4), { groups: 2, eps: 0 }),
    )
    expect(await numbers(y)).toEqual([-1, 1, -2, 3])
  })
  test('erf as an op', async () =>
    expect((await numbers(erfOf(floatsOf([0.5], 1))))[0]).toBeCloseTo(0.5204998778130465, 15))
})

describe('feeds', () => {
  const y = pipe(x, add(input('steps', float())))
  test('every fault is listed by name', async () => {
    const errors = await failing(y, { x: vec(1, 2), stpes: vec(1) })
    expect(errors).toEqual([
      {
        tag: 'run',
        at: 'stpes',
        expected: 'one of x, steps',
        got: 'an array by that name',
        hint: 'did you mean "steps"?',
      },
      { tag: 'run', at: 'x', expected: 'float32[3]', got: 'float32[2]' },
      { tag: 'run', at: 'steps', expected: 'float32[]', got: 'nothing' },
    ])
  })
  test('a dtype that differs, and data that does not fill its shape', async () => {
    const errors = await failing(y, { x: ints([3], new Int32Array(3)), steps: floats([], new Float64Array(2)) })
    expect(errors.map((e) => [e.at, e.got])).toEqual([
      ['x', 'int32[3]'],
      ['steps', '2 numbers'],
    ])
  })
  test.each(['constructor', '__proto__'])('%s, which every object has, names no leaf and no output', async (name) => {
    const [odd, sum] = [input(name, float()), pipe(input('x', float()), add(1))]
    for (const outputs of [{ y: odd }, Object.fromEntries([[name, sum]])]) {
      const errors = left(await reference.compile(right(freeze(outputs)), { mode: 'training' })())
      expect(errors.map((e) => [e.tag, e.at])).toEqual([['compile', name]])
    }
  })
  test('constants are baked in and no longer fed', async () => {
    const program = await compiled({ y }, { steps: floats([], Float64Array.of(10)) })
    expect(right(await program.run({ x: vec(1, 2, 3) })()).y?.data).toEqual(Float64Array.of(11, 12, 13))
    expect(left(await program.run({ x: vec(1, 2, 3), steps: floats([], Float64Array.of(1)) })())[0].at).toBe('steps')
  })
  test('constants that name no leaf or have another type are compile errors', async () => {
    const constants = { x: vec(1), other: vec(1) }
    const errors = left(await reference.compile(right(freeze({ y })), { mode: 'training', constants })())
    expect(errors.map((e) => [e.tag, e.at])).toEqual([
      ['compile', 'other'],
      ['compile', 'x'],
    ])
  })
  test('results share no memory with feeds', async () => {
    const fed = vec(1, 2, 3)
    const results = right(await (await compiled({ a: x, b: x })).run({ x: fed })())
    results.a?.data.fill(0)
    expect(fed.data).toEqual(Float64Array.of(1, 2, 3))
    expect(results.b?.data).toEqual(Float64Array.of(1, 2, 3))
  })
  test('dtypes of results', async () => {
    const i = integers([1, 2])
    const results = right(await (await compiled({ f: cast('float32')(i), i: abs(i), b: pipe(i, less(2)) })).run({})())
    expect(results.f?.data).toBeInstanceOf(Float64Array)
    expect(results.i?.data).toBeInstanceOf(Int32Array)
    expect(results.b?.data).toEqual(Uint8Array.of(1, 0))
  })
})

describe('steps', () => {
  const n = input('n', int())
  const counter = { next: pipe(n, add(input('by', int()))), seen: pipe(n, mul(10)) }
  const one = (v: number): Value => ints([], Int32Array.of(v))

  test('state is carried, fed values are not', async () => {
    const program = await compiled(counter)
    const stepper = right(await program.start({ next: 'n' }, { n: one(5) })())
    expect(right(await stepper.step({ by: one(2) })())).toEqual({ seen: one(50) })
    expect(right(await stepper.step({ by: one(3) })())).toEqual({ seen: one(70) })
    expect(right(await stepper.read())).toEqual({ n: one(10) })
  })
  test('a failed step leaves the state as it was', async () => {
    const stepper = right(await (await compiled(counter)).start({ next: 'n' }, { n: one(5) })())
    expect(left(await stepper.step({})())[0].at).toBe('by')
    expect(right(await stepper.read())).toEqual({ n: one(5) })
  })
  test('a carry that does not fit', async () => {
    const program = await compiled({ ...counter, also: n, wide: pipe(n, less(0)) })
    const carry = { nxt: 'n', next: 'm', wide: 'by' }
    expect(left(await program.start(carry, {})()).map((e) => [e.at, e.got, e.hint])).toEqual([
      ['nxt', 'no such output', 'did you mean "next"?'],
      ['m', 'no such leaf', 'did you mean "n"?'],
      ['by', 'bool[] from wide', undefined],
    ])
    expect(left(await program.start({ next: 'n', also: 'n' }, { n: one(1) })())[0].got).toBe('a second, also')
    expect(left(await program.start({ next: 'n' }, {})())[0]).toMatchObject({ at: 'n', got: 'nothing' })
  })
  test('nothing works after dispose', async () => {
    const program = await compiled(counter)
    const stepper = right(await program.start({ next: 'n' }, { n: one(5) })())
    stepper.dispose()
    expect(left(await stepper.step({ by: one(1) })())[0].tag).toBe('run')
    expect(left(await stepper.read())[0].tag).toBe('run')
    program.dispose()
    expect(left(await program.run({ n: one(1), by: one(1) })())[0]).toMatchObject({ tag: 'run', at: 'reference' })
    expect(left(await program.start({ next: 'n' }, { n: one(5) })())[0].tag).toBe('run')
  })
})

describe('plan', () => {
  test('in a chain, no more than one value is held beside the newest', () => {
    const chain = Array.from({ length: 100 }).reduce<Tensor>((y) => pipe(y, neg), x)
    let held = 0
    for (const { forget } of plan(right(freeze({ y: chain }))).steps) {
      held += 1 - forget.length
      expect(held).toBe(1)
    }
  })
  test('what no output needs does not run, and outputs are kept', () => {
    const graph = right(freeze({ y: neg(x), z: x }))
    const { steps } = plan({ ...graph, nodes: [...graph.nodes, ...graph.nodes.slice(0, 1)] })
    expect(steps).toEqual([
      { index: 0, forget: [] },
      { index: 1, forget: [] },
    ])
  })
})
