import { describe, expect, test } from 'vitest'
import { input, relu, square, sum } from '../../src/declare/index.ts'
import type { Effect } from '../../src/error.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float, size } from '../../src/graph/types.ts'
import type { StoredArrays } from '../../src/io/stored.ts'
import { conv2d, linear } from '../../src/nn/index.ts'
import { E, pipe, RR } from '../../src/prelude.ts'
import { grouped, groupOf, loadedState } from '../../src/train/state.ts'
import { type StepOptions, trainingStep } from '../../src/train/step.ts'
import { right } from '../arbitrary/run.ts'

const x = input('x', float(2, 3, 4, 4))
const loss = pipe(x, conv2d('in', { out: 8, kernel: 3, padding: 1 }), relu, linear('head', { out: 5 }), square, sum())
const learningRate = { kind: 'constant', rate: 1e-3 } as const
const optimizers: readonly StepOptions['optimizer'][] = [
  { kind: 'adam', betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 },
  { kind: 'adamw', betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 },
  { kind: 'sgd', momentum: 0.9, weightDecay: 0 },
]
const planOf = (optimizer: StepOptions['optimizer']) =>
  right(trainingStep({ loss, log: {} }, { steps: 10, learningRate, emaDecay: 0.99, clipNorm: 1, optimizer }))
const rightOf = async <A>(x: Effect<A>): Promise<A> => right(await x())

describe.each(optimizers)('the state of a step of $kind', (optimizer) => {
  const plan = planOf(optimizer)
  test.each([reference, onnx('cpu')])(
    'comes from $name in the shapes of the parameters, into files too',
    async (by) => {
      const executable = await rightOf(by.compile(plan.graph, { mode: 'training' }))
      const stepper = await rightOf(executable.start(plan.carry, plan.initial(0)))
      await rightOf(stepper.step({ ...plan.hostFeeds(0), x: floats([2, 3, 4, 4], new Float32Array(96).fill(0.5)) }))
      const read = await rightOf(stepper.read)
      executable.dispose()
      expect(read['ema.shadow.in.weight']?.shape).toEqual([8, 3, 3, 3])
      for (const [leaf, { shape }] of Object.entries(read)) {
        const [group, name] = groupOf(leaf)
        const parameter = group === 'parameters' ? name : name.slice(name.indexOf('.') + 1)
        expect([leaf, shape]).toEqual([leaf, read[parameter]?.shape])
      }
      const ofFile = RR.map(({ shape }: StoredArrays[string]) => shape)(grouped(read).ema ?? {})
      expect(ofFile['shadow.in.weight']).toEqual([8, 3, 3, 3])
    },
  )
})

test('a checkpoint of 0.1.0, whose moments and averages lie flat, is read; weights that lie flat are not', () => {
  const [optimizer] = optimizers
  if (optimizer === undefined) throw new Error('no optimiser')
  const like = planOf(optimizer).initial(0)
  const flat = RR.map((v: Values[string]) => ({ ...v, shape: [size(v.shape)] }))(like)
  const old = RR.mapWithIndex((leaf, v: Values[string]) => (groupOf(leaf)[0] === 'parameters' ? (like[leaf] ?? v) : v))(
    flat,
  )
  expect(right(loadedState('step', grouped(old), like))).toEqual(like)
  const refused = loadedState('step', grouped(flat), like)
  expect(E.isLeft(refused) && refused.left.map(({ at }) => at).toSorted()).toEqual([
    'step: head.weight',
    'step: in.weight',
  ])
})
