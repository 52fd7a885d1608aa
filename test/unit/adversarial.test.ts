import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { abs, add, freeze, input, mul, neg, silu, sub, sum, type Tensor } from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { float } from '../../src/graph/types.ts'
import {
  adaptiveWeight,
  adoptedWeight,
  discriminatorTurn,
  generatorTurn,
  type Progress,
  weightAt,
} from '../../src/losses/index.ts'
import { conv2d, discriminator, lpips } from '../../src/nn/index.ts'
import { flow, pipe } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { grad, optimise, trainable } from '../../src/transform/index.ts'
import { evaluate, right } from './diffusion-fixtures.ts'

const steps = (n: number): Progress => ({ steps: n, epochs: 0, samples: 0 })
const declared = (u: unknown) => right(decode(adoptedWeight)(u))

describe('an adopted weight', () => {
  test('is adopted at its start, in its own unit', () => {
    const at = weightAt(declared({ start: 3, unit: 'epochs', weight: 0.7 }))
    expect([2, 3].map((epochs) => at({ steps: 1000, epochs, samples: 1000 }))).toEqual([0, 0.7])
  })
  test('rises from the weight before along its ramp', () =>
    fc.assert(
      fc.property(fc.nat(40), fc.integer({ min: 1, max: 20 }), (n, ramp) => {
        const at = weightAt(declared({ start: 10, unit: 'steps', weight: 2, before: 1, ramp }))
        expect(at(steps(n))).toBeCloseTo(1 + Math.min(1, Math.max(0, (n - 10) / ramp)), 12)
      }),
    ))
  test('must say what it counts', () => {
    expect(decode(adoptedWeight)({ start: 3 })).toMatchObject({ left: [{ at: '/unit' }] })
  })
})

describe('a smoothed weight', () => {
  const w = input('w', float(2))
  const nll = pipe(w, mul(input('a', float(2))), sum())
  const g = pipe(w, mul(input('b', float(2))), sum())
  const { weight, buffers } = adaptiveWeight('adaptive', { weight: 0.5, cap: 100, smoothing: 0.9 })({
    nll,
    g,
    lastLayer: w,
  })
  const step = async (state: Readonly<Record<string, number>>, a: number) => {
    const scalars = Object.fromEntries(Object.entries(state).map(([k, x]) => [k, floats([], Float64Array.of(x))]))
    const feeds = { a: floats([2], Float64Array.of(a, 0)), b: floats([2], Float64Array.of(0, 1)), ...scalars }
    const found = await evaluate({ weight, ...buffers }, feeds)
    return (name: string): number => Number(found[name]?.data[0])
  }
  test('is the mean of what it has seen, the first ratio at first', async () => {
    const first = await step({ 'adaptive.ratio': 0, 'adaptive.mass': 0 }, 3)
    expect(first('weight')).toBeCloseTo((0.5 * 3) / 1.0001, 10)
    const state = { 'adaptive.ratio': first('adaptive.ratio'), 'adaptive.mass': first('adaptive.mass') }
    const second = await step(state, 5)
    expect(second('weight')).toBeCloseTo((0.5 * (0.9 * 3 + 5)) / 1.9 / 1.0001, 10)
  })
  test('takes in no more than the cap', async () => {
    expect((await step({ 'adaptive.ratio': 0, 'adaptive.mass': 0 }, 1e9))('weight')).toBeCloseTo(50, 10)
  })
})

/** Two convolutions as decoder, a discriminator of four, and LPIPS with its 13 and 5. */
const contest = (r1: number) => {
  const judge = discriminator('loss.discriminator', { channels: 4, layers: 2, norm: 'batch' }, { training: true })
  const config = { loss: 'hinge', generator: { weight: 1, cap: 1e4, smoothing: 0 }, r1 } as const
  const inputs = input('inputs', float(2, 3, 16, 16))
  const decoder = flow(
    conv2d('decoder.conv_in', { out: 4, kernel: 3, padding: 1 }),
    silu,
    conv2d('decoder.conv_out', { out: 3, kernel: 3, padding: 1 }),
  )
  const reconstructions = decoder(input('z', float(2, 2, 16, 16)))
  const perceptual = lpips('loss.perceptual_loss')(inputs, reconstructions).total
  const nll = pipe(reconstructions, sub(inputs), abs, add(perceptual), sum())
  const [lastLayer = nll] = trainable(reconstructions).slice(2)
  const autoencoder = { loss: nll, nll, log: {} }
  const factor = input('factor', float())
  const generator = generatorTurn('', { config, judge })({ autoencoder, reconstructions, lastLayer, factor })
  const buffers = generator.buffers
  const opposite = discriminatorTurn({ config, judge })({ inputs, reconstructions, factor, buffers })
  const parameters = trainable(generator.loss)
  const own = (scope: string) => parameters.filter((p) => p.scope.startsWith(scope))
  return { generator, opposite, decoder: own('decoder'), judge: own('loss.discriminator') }
}
const gradients = (prefix: string, loss: Tensor, of: readonly Tensor[]) =>
  Object.fromEntries(grad(loss, of).map((g, i) => [`${prefix}${i}`, g]))
const count = (op: string, outputs: Readonly<Record<string, Tensor>>): number =>
  optimise(right(freeze(outputs))).nodes.filter((n) => n.op === op).length

describe('a step of both turns', () => {
  const { generator, opposite, decoder, judge } = contest(0)
  const ours = gradients('decoder', generator.loss, decoder)
  const theirs = gradients('judge', opposite.loss, judge)
  test('walks back once through VGG16, discriminator and decoder, though the weight needs two gradients', () => {
    expect(decoder.length).toBe(4)
    expect(count('convInputGrad', ours)).toBe(13 + 5 + 4 + 1)
  })
  test('passes every picture forward once, for both turns', () => {
    expect(count('conv2d', { ...ours, ...theirs })).toBe(2 + 4 + 4 + 2 * 13)
  })
  test('moves the running statistics three times: fake, real, fake', () => {
    const counts = Object.entries(opposite.buffers).filter(([name]) => name.endsWith('num_batches_tracked'))
    expect(counts.map(([name]) => name)).toEqual([
      'loss.discriminator.main.3.num_batches_tracked',
      'loss.discriminator.main.6.num_batches_tracked',
    ])
    const additions = count('add', Object.fromEntries(counts))
    expect(additions).toBe(6)
  })
  test('needs second derivatives for R1 alone', () => {
    const penalised = contest(10)
    const plain = count('convInputGrad', theirs)
    expect(count('convInputGrad', gradients('judge', penalised.opposite.loss, penalised.judge))).toBeGreaterThan(plain)
    expect(neg(penalised.opposite.log.r1_penalty).fault).toBeUndefined()
  })
})
