import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import type { Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { independentParts } from '../../src/execute/parts.ts'
import { splitTail } from '../../src/execute/tail/split.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { inMicroBatches } from '../../src/losses/index.ts'
import * as nn from '../../src/nn/index.ts'
import { pipe } from '../../src/prelude.ts'
import { type StepOptions, type StepPlan, trainingStep } from '../../src/train/step.ts'
import { feed, graphOf, right } from './onnx-support.ts'

const lossOf = (batch: number) => {
  const x = D.input('x', float(batch, 3, 8, 8))
  const y = pipe(x, nn.conv2d('first', { out: 32, kernel: 3, padding: 1 }), nn.groupNorm('norm', { groups: 8 }), D.silu)
  const eps = D.noise('eps', [batch, 3, 8, 8])
  const error = pipe(y, nn.conv2d('last', { out: 3, kernel: 3, padding: 1 }), D.sub(eps))
  return { loss: pipe(error, D.square, D.mean()), log: { distance: pipe(error, D.abs, D.mean()) } }
}
const options: StepOptions = {
  steps: 3,
  optimizer: { kind: 'adam', betas: [0.9, 0.99], eps: 1e-8, weightDecay: 0 },
  learningRate: { kind: 'constant', rate: 0.01 },
  emaDecay: 0.9,
}
const planOf = (parts: number): StepPlan => right(trainingStep(inMicroBatches(parts, 6, lossOf), options))
const batchOf = (plan: StepPlan): Values => {
  const types = feedTypes(plan.graph)
  return Object.fromEntries(
    ['x', 'eps'].flatMap((name, i) => {
      const type = types[name]
      return type === undefined ? [] : [[name, feed(i, type)] as const]
    }),
  )
}
/** What three steps leave. */
const trained = async (plan: StepPlan, threads: number): Promise<Values> => {
  const compiled = right(await onnx('cpu').compile(plan.graph, { mode: 'training', threads })())
  const state = right(await compiled.start(plan.carry, plan.initial(7))())
  const fed = batchOf(plan)
  const metrics: Values[] = []
  for (let i = 0; i < 3; i++) metrics.push(right(await state.step({ ...fed, ...plan.hostFeeds(i) })()))
  const left = right(await state.read())
  state.dispose()
  compiled.dispose()
  return { ...left, ...metrics.at(-1) }
}

describe('micro-batches', () => {
  const parts = (plan: StepPlan): readonly Graph[] => independentParts(splitTail(plan.graph).body, 8)
  test('have nothing but parameters in common: each is a part of its own', () => {
    expect([1, 2, 3].map((n) => parts(planOf(n)).length)).toEqual([1, 2, 3])
  })
  test('parts share out the outputs, and each convolves its own rows', () => {
    const { body } = splitTail(planOf(3).graph)
    const made = independentParts(body, 2)
    expect(made.flatMap((g) => Object.keys(g.outputs)).sort()).toEqual(Object.keys(body.outputs).sort())
    expect(made.map((g) => g.nodes.filter(({ op }) => op === 'conv2d').length)).toEqual([4, 2])
  })
  test('leave the same state to the bit, on one thread or on several', async () => {
    const plan = planOf(2)
    const one = await trained(plan, 1)
    expect(await trained(plan, 2)).toEqual(one)
    expect(await trained(plan, 4)).toEqual(one)
  })
  test('train like the whole batch', async () => {
    const [whole, split] = [await trained(planOf(1), 2), await trained(planOf(2), 2)]
    for (const [name, { data }] of Object.entries(whole)) {
      const other = split[name]?.data ?? []
      data.forEach((x, i) => {
        expect(Math.abs((other[i] ?? Number.NaN) - x)).toBeLessThan(2e-5 * Math.max(1, Math.abs(x)))
      })
    }
  })
  test('a batch that cannot be split is an error of the declaration', () => {
    const plan = trainingStep(inMicroBatches(4, 6, lossOf), {
      ...options,
      optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
    })
    expect(plan).toMatchObject({
      left: [{ tag: 'shape', expected: 'micro-batches that 6 samples fill', got: '4 of them' }],
    })
  })
})

describe('parts', () => {
  const [x, y] = [D.input('x', float(64, 64)), D.input('y', float(64, 64))]
  const product = (a: typeof x) => pipe(a, D.matmul(a))
  test('what hangs together stays in one', () => {
    expect(
      independentParts(graphOf({ a: product(x), b: pipe(product(x), D.exp), c: product(y), d: pipe(x, D.add(y)) }), 4),
    ).toHaveLength(1)
    const a = product(x)
    expect(independentParts(graphOf({ a, b: pipe(a, D.matmul(y)) }), 4)).toHaveLength(1)
  })
  test('what has only leaves in common, and views of them, does not', () => {
    const view = D.reshape(64, 64)(D.reshape(4096)(x))
    const graph = graphOf({ a: pipe(view, D.matmul(y)), b: pipe(y, D.matmul(view)), x })
    const made = independentParts(graph, 4)
    expect(made.map((g) => Object.keys(g.outputs))).toEqual([['a', 'x'], ['b']])
  })
  test('little work gets no part of its own', () => {
    expect(independentParts(graphOf({ a: product(x), b: D.exp(y) }), 2)).toHaveLength(1)
  })
  test('one thread has one part', () => {
    const graph = graphOf({ a: product(x), b: product(y) })
    expect(independentParts(graph, 1)).toEqual([graph])
  })
})

test('a step comes to its end though its program was disposed of, and is the last', async () => {
  const plan = planOf(2)
  const compiled = right(await onnx('cpu').compile(plan.graph, { mode: 'training', threads: 2 })())
  const state = right(await compiled.start(plan.carry, plan.initial(7))())
  const step = state.step({ ...batchOf(plan), ...plan.hostFeeds(0) })
  const pending = step()
  compiled.dispose()
  expect(Object.keys(right(await pending))).toContain('loss')
  expect(await step()).toMatchObject({ left: [{ tag: 'run', got: 'one that was disposed of' }] })
})
