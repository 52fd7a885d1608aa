import { describe, expect, test } from 'vitest'
import { conv2d, input, mean, parameter, square, sub, type Tensor } from '../../src/declare/index.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { inPrecision } from '../../src/train/in-precision.ts'
import { trainingStep } from '../../src/train/step.ts'
import { right, runOn } from '../arbitrary/run.ts'

const window = { stride: [1, 1], padding: [1, 1, 1, 1] } as const
const weight = (name: string): Tensor => parameter(name, 'weight', [3, 3, 3, 3], { kind: 'normal', std: 0.2 })
/** Two convolutions that learn to be the identity. */
const loss = (): Tensor => {
  const x = input('x', float(2, 3, 6, 6))
  return pipe(x, conv2d(weight('first'), window), conv2d(weight('second'), window), sub(x), square, mean())
}
const options = (precision: 'float16' | 'float32') => ({
  steps: 100,
  optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 } as const,
  learningRate: { kind: 'constant', rate: 0.1 } as const,
  emaDecay: 0.9,
  precision,
})
const plan = (precision: 'float16' | 'float32') =>
  inPrecision({ precision })(right(trainingStep({ loss: loss(), log: {} }, options(precision))))
const x = floats(
  [2, 3, 6, 6],
  Float32Array.from({ length: 216 }, (_, i) => Math.sin(3.7 * i)),
)

const step = async (
  precision: 'float16' | 'float32',
  given: Values = {},
): Promise<{ before: Values; after: Values }> => {
  const p = plan(precision)
  const before = { ...p.initial(1), ...given }
  return { before, after: await runOn(reference)(p.graph, { ...before, ...p.hostFeeds(0), x }) }
}
const scale = (value: number): Values => ({ 'optimizer.loss_scale': floats([], Float32Array.of(value)) })
const numbers = (v: Values, name: string): readonly number[] => Array.from(v[name]?.data ?? [])
const moved = async (given?: Values): Promise<number> => {
  const [exact, { after }] = [await step('float32'), await step('float16', given)]
  const difference = numbers(after, 'first.weight').map((w, i) => w - (numbers(exact.after, 'first.weight')[i] ?? 0))
  const whole = numbers(exact.after, 'first.weight').map((w, i) => w - (numbers(exact.before, 'first.weight')[i] ?? 0))
  return Math.hypot(...difference) / Math.hypot(...whole)
}

describe('a step in float16', () => {
  test('moves weights as one in float32 does, within the rounding; without a scale small gradients would be lost', async () => {
    expect(await moved()).toBeLessThan(5e-3)
    expect(await moved(scale(2 ** -20))).toBeGreaterThan(0.1)
  })

  test('whose gradients are not finite changes nothing but the scale, which is halved', async () => {
    const { before, after } = await step('float16', scale(2 ** 24))
    expect(numbers(after, 'optimizer.loss_scale')).toEqual([2 ** 23])
    expect(numbers(after, 'loss_scale')).toEqual([2 ** 24])
    for (const [name, { data }] of Object.entries(before))
      if (name !== 'optimizer.loss_scale') expect([name, ...numbers(after, name)]).toEqual([name, ...data])
  })

  test('doubles the scale after 2,000 steps without such a one', async () => {
    const late = await step('float16', { 'optimizer.unbroken_steps': floats([], Float32Array.of(1999)) })
    expect(numbers(late.after, 'optimizer.loss_scale')).toEqual([2 ** 17])
    expect(numbers(late.after, 'optimizer.unbroken_steps')).toEqual([0])
    const early = await step('float16')
    expect(numbers(early.after, 'optimizer.loss_scale')).toEqual([2 ** 16])
    expect(numbers(early.after, 'optimizer.unbroken_steps')).toEqual([1])
  })
})
