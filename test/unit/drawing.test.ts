import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { failure } from '../../src/error.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { type LatentDiffusion, nullLabel } from '../../src/experiment/diffusion-stage.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { sampling as codec, guidanceAt, requested, type Sampling } from '../../src/experiment/sampling.ts'
import { E, TE } from '../../src/prelude.ts'
import { checkFrom } from '../../src/run/sample-from.ts'
import { decode } from '../../src/schema.ts'
import { type Beginning, type DrawingStep, drawLatents, type Wanted } from '../../src/train/drawing.ts'
import type { Items } from '../../src/train/inference.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { right } from '../arbitrary/run.ts'

/** Drawing from a small network with the weights that training begins with. */

type Guiding = Pick<Sampling, 'guidance' | 'guidanceInterval' | 'guidanceSchedule' | 'keep'>
const executor = onnx('cpu')
const held: { model?: LatentDiffusion; state?: Values; declared?: Sampling } = {}
beforeAll(async () => {
  const experiment = right(await loadExperiment(join(import.meta.dirname, '../../graphs/tiny.json'))())
  const { model, step } = right(planExperiment(experiment, 3)).diffusion ?? expect.unreachable('no diffusion')
  // Weights begin at 0 where training has them so: all are shaken, so that the network says something.
  const state = Object.fromEntries(
    Object.entries(step.initial(5)).map(([name, { shape, data }]) => [
      name,
      floats(
        shape,
        Float64Array.from(data, (x, i) => Number(x) + 0.002 * Math.sin(1 + i * 12.9898 + name.length)),
      ),
    ]),
  )
  Object.assign(held, { model, state, declared: experiment.sampling })
}, 60_000)

const model = (): LatentDiffusion => held.model ?? expect.unreachable('no model')
const sampling = (asked: Parameters<typeof requested>[1] = {}, more: Partial<Guiding> = {}): Sampling =>
  right(decode(codec)({ ...right(requested(held.declared ?? expect.unreachable('no sampling'), asked)), ...more }))
const draw = async (wanted: Partial<Wanted> = {}): Promise<readonly number[]> => {
  const all = { labels: [0, 1, 2], seed: 7, sampling: sampling(), scale: 0.5, ...wanted }
  return Array.from(right(await drawLatents(executor, model(), held.state ?? {}, all)()).data)
}
const size = (): number => model().latent.reduce((a, b) => a * b, 1)
const some = (n = 1): Items => ({
  n,
  shape: model().latent,
  data: Float32Array.from({ length: n * size() }, (_, i) => Math.cos(3 * i)),
})
const farthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? Number.NaN))))

describe('from a picture', () => {
  const from = (strength: number, more: object = {}): Beginning => ({
    kind: 'picture',
    latents: some(),
    strength,
    ...more,
  })
  test('strength 1 is drawing from noise, to the bit; strength 0 is the picture', async () => {
    expect(await draw({ from: from(1) })).toEqual(await draw())
    expect(await draw({ from: from(0) })).toEqual([...some().data, ...some().data, ...some().data])
  })
  test('less strength stays nearer, and walks fewer steps', async () => {
    const steps: number[] = []
    const at = (strength: number): Promise<readonly number[]> =>
      draw({
        labels: [0],
        from: from(strength),
        onStep: ({ of }) => TE.fromIO(() => void steps.push(of)),
      })
    const [weak, strong] = [await at(0.2), await at(0.8)]
    expect([...new Set(steps)]).toEqual([1, 4])
    expect(farthest(weak, [...some().data])).toBeLessThan(farthest(strong, [...some().data]))
  })
  test.each(['ddim', 'repaint', 'dpm++-2m', 'euler-ancestral'] as const)(
    'what is known stays as it is, and the rest is drawn: %s',
    async (sampler) => {
      const [, , width = 1] = model().latent
      const plane = width * width
      const mask = Float32Array.from({ length: plane }, (_, i) => (i % width < width / 2 ? 1 : 0))
      const drawn = await draw({ labels: [1], sampling: sampling({ sampler }), from: from(1, { known: mask }) })
      const [known, rest] = [1, 0].map((stays) =>
        drawn.flatMap((x, i) => (mask[i % plane] === stays ? [x - (some().data[i] ?? 0)] : [])),
      )
      expect(Math.max(...(known ?? []).map(Math.abs))).toBeLessThan(1e-6)
      expect(Math.min(...(rest ?? []).map(Math.abs))).toBeGreaterThan(0)
    },
  )
  test('what was inverted is drawn again, under its class and without guidance', async () => {
    const latents = some(2)
    const labels = [1, 2]
    const fine = sampling({ sampler: 'ddim', steps: 20, guidance: 1 })
    const back = await draw({ labels, sampling: fine, from: { kind: 'inverted', latents, asked: { labels } } })
    expect(farthest(back, [...latents.data])).toBeLessThan(1e-3)
    const others = await draw({
      labels: [0, 0],
      sampling: fine,
      from: { kind: 'inverted', latents, asked: { labels } },
    })
    expect(farthest(others, [...latents.data])).toBeGreaterThan(1e-3)
  })
})

describe('between noises', () => {
  test('at 0 is the one, at 1 the other', async () => {
    const between = (share: number): Beginning => ({
      kind: 'between',
      numbers: [0],
      towards: { seed: 8, numbers: [0] },
      shares: [share],
    })
    const labels = [1]
    expect(await draw({ labels, from: between(0) })).toEqual(await draw({ labels }))
    expect(farthest(await draw({ labels, from: between(1) }), await draw({ labels, seed: 8 }))).toBeLessThan(1e-5)
    const half = await draw({ labels, from: between(0.5) })
    expect(half.every(Number.isFinite)).toBe(true)
    expect(farthest(half, await draw({ labels }))).toBeGreaterThan(1e-2)
  })
})

describe('guidance', () => {
  test('away from a class that is the same leaves the conditional model', async () => {
    const plain = await draw({ labels: [1], sampling: sampling({ guidance: 1 }) })
    expect(farthest(await draw({ labels: [1], negative: { label: 1 } }), plain)).toBeLessThan(1e-4)
    expect(farthest(await draw({ labels: [1], negative: { label: 2 } }), plain)).toBeGreaterThan(1e-3)
    expect(await draw({ negative: { label: nullLabel(model()) } })).toEqual(await draw())
  })
  test('outside its interval, and where its course is 0, it is none', async () => {
    const { path } = model()
    const [least, most] = path.span
    const s = sampling({}, { guidance: 5, guidanceInterval: [0.25, 0.75] })
    expect([0, 0.5, 1].map((share) => guidanceAt(s, path, least + share * (most - least)))).toEqual([1, 5, 1])
    const linear = sampling({}, { guidance: 5, guidanceSchedule: 'linear' })
    expect([least, (least + most) / 2, most].map((t) => guidanceAt(linear, path, t))).toEqual([9, 5, 1])
    const cosine = sampling({}, { guidance: 5, guidanceSchedule: 'cosine' })
    expect([least, most].map((t) => guidanceAt(cosine, path, t))).toEqual([9, 1])
    const never = sampling({}, { guidanceInterval: [0, 1e-9] })
    const plain = await draw({ labels: [1], sampling: sampling({ guidance: 1 }) })
    expect(farthest(await draw({ labels: [1], sampling: never }), plain)).toBeLessThan(1e-4)
  })
  test('changes what is drawn where it is rescaled', async () => {
    const strong = { guidance: 8 }
    const rescaled = await draw({ sampling: sampling({ ...strong, guidanceRescale: 1 }) })
    expect(farthest(rescaled, await draw({ sampling: sampling(strong) }))).toBeGreaterThan(1e-3)
  })
})

test.each([
  [{ strength: 0.5 }, '--strength', '--from <picture> beside it'],
  [{ mask: 'm.png' }, '--mask', '--from <picture> beside it'],
  [{ fromClass: 'cats' }, '--from-class', '--invert beside it'],
  [{ from: 'a.png', invert: true, strength: 1 }, '--strength', 'not together with --invert'],
  [{ from: 'a.png', interpolate: 1 }, '--interpolate', 'not together with --from'],
  [{ interpolate: 1, vary: 0.5 }, '--interpolate', 'not together with --vary'],
  [{ from: 'a.png', vary: 0.5 }, '--vary', 'not together with --from'],
] as const)('%j is refused', (options, at, expected) => {
  expect(checkFrom(options)).toMatchObject({ left: [{ tag: 'usage', at, expected }] })
})

test('steps tell what they predict, and end the drawing when told so', async () => {
  const seen: DrawingStep[] = []
  const wanted: Wanted = {
    labels: [0, 1],
    seed: 7,
    sampling: sampling({}, { keep: { kind: 'within', range: 0.25 } }),
    scale: 0.5,
    watch: true,
    onStep: (step) => {
      seen.push(step)
      return step.done === 3 ? TE.left([failure('stopped', 'test', 'more', 'enough')]) : TE.right(undefined)
    },
  }
  const ended = await drawLatents(executor, model(), held.state ?? {}, wanted)()
  expect(E.isLeft(ended) && ended.left[0].tag).toBe('stopped')
  expect(seen.map(({ done, of, from, n }) => [done, of, from, n])).toEqual([1, 2, 3].map((done) => [done, 5, 0, 2]))
  for (const { predicted } of seen) {
    expect(predicted?.shape).toEqual(model().latent)
    // Kept within 0.25, and divided by the scale.
    expect(Math.max(...(predicted?.data ?? []).map(Math.abs))).toBeLessThanOrEqual(0.5)
  }
})
