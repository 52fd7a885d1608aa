import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { type Carry, type Executor, floats, type Values } from '../../src/execute/executor.ts'
import { lower } from '../../src/execute/onnx/compile.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { inOneStage, partsIn } from '../../src/execute/stages.ts'
import { cutLoops, splitting } from '../../src/execute/staging.ts'
import { weightsAsMade } from '../../src/execute/tail/as-made.ts'
import { moduleText } from '../../src/execute/tail/kernel.ts'
import { tailBytes } from '../../src/execute/tail/memory.ts'
import { splitTail } from '../../src/execute/tail/split.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import * as nn from '../../src/nn/index.ts'
import { pipe } from '../../src/prelude.ts'
import { trainingStep } from '../../src/train/step.ts'
import { check } from '../arbitrary/check.ts'
import { difference, feed, graphOf, right, run } from './onnx-support.ts'

interface Run {
  readonly carry: Carry
  readonly initial: Values
  readonly feeds: Values
  readonly steps: number
}
/** What is carried after some steps, and the last step's other outputs. */
const stepped = async (executor: Executor, graph: Graph, { carry, initial, feeds, steps }: Run) => {
  const compiled = right(await executor.compile(graph, { mode: 'training' })())
  const state = right(await compiled.start(carry, initial)())
  let outputs: Values = {}
  for (let i = 0; i < steps; i++) outputs = right(await state.step(feeds)())
  const all: Values = { ...right(await state.read()), ...outputs }
  state.dispose()
  compiled.dispose()
  return Object.fromEntries(Object.entries(all).map(([name, { data }]) => [name, Array.from(data)]))
}
const expectAgreement = async (graph: Graph, how: Run): Promise<void> => {
  const [ours, exact] = [await stepped(onnx('cpu'), graph, how), await stepped(reference, graph, how)]
  expect(Object.keys(ours).sort()).toEqual(Object.keys(exact).sort())
  for (const [name, numbers] of Object.entries(exact))
    numbers.forEach((x, i) => {
      expect(Math.abs((ours[name]?.[i] ?? Number.NaN) - x) / Math.max(1, Math.abs(x))).toBeLessThan(1e-5)
    })
}

const square = D.parameter('net', 'weight', [4, 4], { kind: 'zeros' })
const loss = pipe(D.input('x', float(3, 4)), D.matmul(square), nn.linear('head', { out: 2 }), D.square, D.sum())
const plan = right(
  trainingStep(
    { loss, log: {} },
    {
      steps: 4,
      optimizer: { kind: 'adamw', betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.01 },
      learningRate: { kind: 'constant', rate: 0.1 },
      emaDecay: 0.9,
    },
  ),
)

describe('a training step in two', () => {
  const { body, loops } = splitTail(plan.graph)
  test('leaves the optimiser and the average to the loops', () => {
    expect(Object.keys(feedTypes(body)).sort()).toEqual(['head.bias', 'head.weight', 'net.weight', 'x'])
    expect(loops.flatMap((l) => l.outputs.map((o) => o.name)).sort()).toEqual(Object.keys(plan.carry).sort())
  })
  test('has one function for all parameters', () => {
    expect(loops.length).toBe(3)
    expect(new Set(moduleText(loops).names).size).toBe(1)
  })
  test('says beforehand how much memory the loops take at most', () => {
    // p, m, v, average and gradient, and each of the four outputs where it cannot lie over its leaf
    const arrays = [16, 8, 2].map((n) => Math.ceil(n / 4) * 16)
    expect(tailBytes(loops)).toBe(arrays.reduce((sum, bytes) => sum + (5 + 2 * 4) * bytes + 4 * 16, 0))
  })
  test('is the same split every time', () => {
    expect(splitTail(plan.graph)).toEqual({ body, loops })
  })
  test('leaves what is baked in to the body', () => {
    const baked = splitTail(plan.graph, new Set(['optimizer.m.net.weight']))
    expect(Object.keys(feedTypes(baked.body))).toContain('optimizer.m.net.weight')
  })
  test('leaves what is baked in to the body behind a view, too', () => {
    const [x, b] = [D.input('x', float(2, 3)), D.input('b', float(6))]
    const graph = graphOf({ y: pipe(x, D.add(pipe(b, D.reshape(2, 3), D.stopGradient)), D.mul(2)) })
    expect(Object.keys(feedTypes(splitTail(graph, new Set(['b'])).body))).toContain('b')
  })
})

describe('weights of convolutions', () => {
  const stepOf = (clip: boolean) => {
    const first = nn.conv2d('first', { out: 16, kernel: 3, padding: 1 })
    const second = nn.conv2d('second', { out: 5, kernel: 3, stride: 2 })
    const y = pipe(D.input('x', float(2, 16, 12, 12)), first, D.silu, second)
    return right(
      trainingStep(
        { loss: pipe(y, D.square, D.mean()), log: {} },
        {
          steps: 4,
          optimizer: { kind: 'adamw', betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0.01 },
          learningRate: { kind: 'constant', rate: 0.01 },
          emaDecay: 0.9,
          ...(clip ? { clipNorm: 0.1 } : {}),
        },
      ),
    )
  }
  const weights = ['first.weight', 'second.weight']
  const type = float(2, 4, 6, 6)
  const window = { stride: [1, 1], padding: [1, 1, 1, 1] } as const
  test('lie as their gradients are made, and so does all that moves with them', () => {
    const { graph } = stepOf(false)
    const made = weightsAsMade(cutLoops(splitting(new Set()))(inOneStage(graph)))
    const names = Object.keys(made.layouts.leaves).filter((name) => !name.startsWith('optimizer.'))
    expect(names.filter((name) => !name.startsWith('ema.')).sort()).toEqual(weights)
    expect(Object.keys(made.layouts.leaves).length).toBe(4 * weights.length)
    expect(Object.keys(made.layouts.outputs).length).toBe(4 * weights.length)
    const [body = graph] = partsIn(made)
    expect(feedTypes(body)['first.weight']?.shape).toEqual([3, 3, 16, 16])
    const { nodes } = lower(body, { device: 'cpu', mode: 'training', block: 16 })
    expect(nodes.filter(({ op }) => op === 'Transpose').flatMap(({ outputs }) => outputs)).not.toContainEqual(
      expect.stringMatching(/^out\./),
    )
  })
  test.each([false, true])('train as in the reference (gradients clipped: %s)', async (clip) => {
    const step = stepOf(clip)
    const x = feed(3, float(2, 16, 12, 12))
    const feeds = { x, ...step.hostFeeds(0) }
    const how = { carry: step.carry, initial: step.initial(5), feeds, steps: 3 }
    await expectAgreement(step.graph, how)
    const whole = { ...step.initial(5), ...feeds }
    const [ours, exact] = [await run(onnx('cpu'), step.graph, whole), await run(reference, step.graph, whole)]
    for (const [name, value] of Object.entries(exact)) expect(difference(ours[name], value)).toBeLessThan(1e-5)
  })
  test('a weight that is nothing but its last gradient', () => {
    const [w, x] = [D.input('w', float(3, 4, 3, 3)), D.input('x', type)]
    const y = pipe(x, D.conv2d(w, window))
    const next = pipe(D.tanh(y), D.convWeightGrad(x, [3, 3], window), D.mul(0.01))
    return expectAgreement(graphOf({ w: next, y }), {
      carry: { w: 'w' },
      initial: { w: feed(1, float(3, 4, 3, 3)) },
      feeds: { x: feed(2, type) },
      steps: 3,
    })
  })
  test('a weight of two nodes, of which one loop knows no gradient', () => {
    const [w, again, x] = [D.input('w', float(3, 4, 3, 3)), D.input('w', float(3, 4, 3, 3)), D.input('x', type)]
    const next = pipe(w, D.sub(pipe(x, D.conv2d(w, window), D.tanh, D.convWeightGrad(x, [3, 3], window), D.mul(0.01))))
    return expectAgreement(graphOf({ w: next, twice: pipe(again, D.mul(2)) }), {
      carry: { w: 'w' },
      initial: { w: feed(1, float(3, 4, 3, 3)) },
      feeds: { x: feed(2, type) },
      steps: 2,
    })
  })
})

describe('what is not an end of arithmetic stays in the body', () => {
  const x = D.input('x', float(5))
  const whole = (outputs: Readonly<Record<string, Tensor>>): void => {
    const graph = graphOf(outputs)
    expect(splitTail(graph)).toEqual({ body: graph, loops: [] })
  }
  test('other functions', () => whole({ y: D.exp(x), z: D.silu(x) }))
  test('arithmetic that something else reads', () => whole({ y: pipe(x, D.mul(2), D.exp) }))
  test('an outer product', () => whole({ y: pipe(D.reshape(5, 1)(x), D.mul(D.reshape(1, 5)(x))) }))
  test('copies', () => whole({ y: D.reshape(5, 1)(x) }))
  test('numbers of other types', () => whole({ y: pipe(D.integers([1, 2]), D.add(D.integers([3, 4]))) }))
  test('ends too long for a loop', () => {
    let y: Tensor = x
    for (let i = 0; i < 300; i++) y = pipe(y, D.mul(1.01))
    whole({ y })
  })
})

describe('agrees with the reference', () => {
  test('arrays that change places', () => {
    const [a, b] = [D.input('a', float(5)), D.input('b', float(5))]
    const graph = graphOf({ a: pipe(D.exp(b), D.mul(0.5)), b: pipe(a, D.add(1)), sum: pipe(a, D.sub(b)) })
    const initial = { a: floats([5], Float32Array.of(1, 2, 3, 4, 5)), b: floats([5], Float32Array.of(0, -1, -2, 1, 0)) }
    return expectAgreement(graph, { carry: { a: 'a', b: 'b' }, initial, feeds: {}, steps: 3 })
  })
  test('an array that two loops read, and one replaces', () => {
    const [a, long] = [D.input('a', float()), D.input('long', float(6))]
    const graph = graphOf({ a: pipe(a, D.mul(0.5)), long: pipe(long, D.add(a)), body: D.exp(a) })
    const initial = { a: floats([], Float32Array.of(3)), long: floats([6], new Float32Array(6)) }
    return expectAgreement(graph, { carry: { a: 'a', long: 'long' }, initial, feeds: {}, steps: 3 })
  })

  test('a number that the body replaces in place is read as it was', () => {
    const [count, long] = [D.input('count', float()), D.input('long', float(6))]
    const graph = graphOf({ count: pipe(count, D.maximum(D.input('least', float()))), y: pipe(long, D.mul(count)) })
    return expectAgreement(graph, {
      carry: { count: 'count' },
      initial: { count: floats([], Float32Array.of(2)) },
      feeds: { least: floats([], Float32Array.of(5)), long: floats([6], Float32Array.of(1, 2, 3, 4, 5, 6)) },
      steps: 1,
    })
  })

  const op = fc.constantFrom('add', 'sub', 'mul', 'div', 'neg', 'abs', 'sqrt')
  const pointwise: {
    readonly [O in 'add' | 'sub' | 'mul' | 'div' | 'neg' | 'abs' | 'sqrt']: (a: Tensor, b: Tensor) => Tensor
  } = {
    add: (a, b) => pipe(a, D.add(b)),
    sub: (a, b) => pipe(a, D.sub(b)),
    mul: (a, b) => pipe(a, D.mul(b)),
    div: (a, b) => pipe(a, D.div(pipe(D.abs(b), D.add(1)))),
    neg: (a) => D.neg(a),
    abs: (a) => D.abs(a),
    sqrt: (a) => D.sqrt(pipe(D.abs(a), D.add(0.1))),
  }
  const program = fc.record({
    length: fc.integer({ min: 1, max: 9 }),
    steps: fc.array(fc.tuple(op, fc.nat(40), fc.nat(40)), { minLength: 3, maxLength: 12 }),
    swapped: fc.boolean(),
    numbers: fc.array(fc.float({ min: -2, max: 2, noNaN: true }), { minLength: 20, maxLength: 20 }),
  })
  test('generated programs over state, a batch and single numbers', () =>
    check(
      fc.asyncProperty(program, async ({ length, steps, swapped, numbers }) => {
        const leaves = [D.input('p', float(length)), D.input('q', float(length)), D.input('batch', float(length))]
        const rate = D.input('rate', float())
        const made: Tensor[] = [...leaves, rate, pipe(rate, D.mul(0.5)), D.tanh(leaves[2] ?? rate), D.scalar(0.3)]
        for (const [name, i, j] of steps) {
          const [a, b] = [made[i % made.length] ?? rate, made[j % made.length] ?? rate]
          made.push(pointwise[name](a, b))
        }
        const arrays = made.slice(leaves.length).filter((x) => x.shape.length === 1)
        const [p = D.neg(leaves[0] ?? rate), q = D.neg(leaves[1] ?? rate)] = arrays.slice(-2)
        const other = [...leaves, rate, D.exp(rate)].reduce((sum, x) => pipe(sum, D.add(x)), made.at(-1) ?? rate)
        const value = (from: number) => floats([length], Float32Array.from(numbers.slice(from, from + length)))
        await expectAgreement(graphOf({ p, q, other }), {
          carry: swapped ? { p: 'q', q: 'p' } : { p: 'p', q: 'q' },
          initial: { p: value(0), q: value(5) },
          feeds: { batch: value(9), rate: floats([], Float32Array.of(0.7)) },
          steps: 2,
        })
      }),
      60,
    ))
})
