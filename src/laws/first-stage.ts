import fc from 'fast-check'
import { constant, mul, scalar, sum, type Tensor } from '../declare/index.ts'
import { float } from '../graph/types.ts'
import { featureDistance } from '../nn/lpips.ts'
import { actNorm, affineLogDeterminant, affineOf, applyAffine, batchNorm, invertAffine } from '../nn/stateful.ts'
import { pipe, TE } from '../prelude.ts'
import { grad } from '../transform/index.ts'
import { type Law, law, lawOf } from './law.ts'
import { fed, gap, largest, reals, shortfall, total } from './numbers.ts'
import { quantiserLaws } from './quantisers.ts'

const channels = 3
const [items, positions] = [2, 2]
const activations = fc.oneof(
  reals(items * channels * positions, -2, 2),
  fc.constant(Array.from({ length: items * channels * positions }, () => 0)),
)
const picture = (data: readonly number[]): Tensor => constant(data, float(items, channels, positions, 1))
/** Weighs every channel alike. */
const plain = (x: Tensor): Tensor => pipe(x, sum({ axes: [1], keepDims: true }))

const perceptual: readonly Law[] = [
  lawOf({
    name: 'perceptual distances are distances',
    equation: 'd(x, x) = 0, d(x, y) = d(y, x) >= 0, d <= 4 over unit features',
    source: 'Zhang et al. 2018, equation 1',
    tolerance: { float64: 1e-12, float32: 1e-6 },
    arbitrary: fc.record({ x: activations, y: activations }),
    outputs: ({ x, y }) => {
      const d = featureDistance(plain)
      return {
        none: d(picture(x))(picture(x)),
        there: d(picture(y))(picture(x)),
        back: d(picture(x))(picture(y)),
      }
    },
    deviation: ({ none, there, back }) =>
      Math.max(gap(none, [0, 0]), gap(there, back), shortfall(there), Math.max(...there) - 4),
  }),
  lawOf({
    name: 'perceptual distances do not see how strong features are',
    equation: 'd(s x, y) = d(x, y), s > 0, up to 1e-10 / |x|',
    source: 'Zhang et al. 2018, section 3: unit-normalised in the channel dimension',
    tolerance: { float64: 1e-5, float32: 1e-5 },
    arbitrary: fc.record({ x: activations, y: activations, s: fc.constantFrom(0.25, 2, 8) }),
    outputs: ({ x, y, s }) => ({
      own: featureDistance(plain)(picture(y))(picture(x)),
      scaled: featureDistance(plain)(picture(y))(pipe(picture(x), mul(s))),
    }),
    deviation: ({ own, scaled }) => gap(scaled, own),
  }),
  lawOf({
    name: 'at its own picture a perceptual distance has slope 0, also where features vanish',
    equation: 'd d(x, y) / dx = 0 at x = y, finite at 0',
    source: 'the root of a sum of squares, continued by 0',
    tolerance: { float64: 1e-12, float32: 1e-6 },
    arbitrary: activations,
    outputs: (x) => {
      const leaf = picture(x)
      const [here = leaf] = grad(pipe(featureDistance(plain)(picture(x))(leaf), sum()), [leaf])
      return { here }
    },
    deviation: ({ here }) => largest(here),
  }),
]

/** The elements of each channel of `picture`. */
const perChannel = (xs: readonly number[]): readonly (readonly number[])[] =>
  [0, 1, 2].map((c) => xs.filter((_, i) => Math.floor(i / positions) % channels === c))
const average = (xs: readonly number[]): number => total(xs) / xs.length
/** Of a channel, with `fewer` degrees of freedom than elements. */
const variance = (xs: readonly number[], fewer: number): number =>
  total(xs.map((x) => (x - average(xs)) ** 2)) / (xs.length - fewer)
const batch = reals(items * channels * positions, -2, 2).filter((xs) =>
  perChannel(xs).every((c) => variance(c, 0) > 0.01),
)

const shape = [channels]
const norms: readonly Law[] = [
  lawOf({
    name: 'ActNorm starts with mean 0 and deviation 1',
    equation: 'mean(s (x + l)) = 0, var(s (x + l)) = 1 (unbiased), of each channel',
    source: 'Kingma and Dhariwal 2018, section 3.1',
    tolerance: { float64: 3e-5, float32: 3e-5 },
    arbitrary: batch,
    outputs: (x) => ({ y: pipe(picture(x), applyAffine(affineOf(picture(x)))) }),
    deviation: ({ y }) =>
      Math.max(
        gap(perChannel(y).map(average), [0, 0, 0]),
        gap(
          perChannel(y).map((c) => variance(c, 1)),
          [1, 1, 1],
        ),
      ),
  }),
  lawOf({
    name: 'ActNorm starts once: a second pass goes by what the first has set',
    equation: 'f(x2) = s(x1) (x2 + l(x1)), and the flag is set',
    source: 'CompVis taming-transformers, util.py ActNorm: initialized',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({ first: batch, second: batch }),
    outputs: ({ first, second }) => {
      const norm = actNorm('', { initialize: true })
      const started = norm({ y: picture(first), buffers: {} })
      const passed = norm({ y: picture(second), buffers: started.buffers })
      return {
        y: passed.y,
        expected: pipe(picture(second), applyAffine(affineOf(picture(first)))),
        initialized: passed.buffers.initialized ?? scalar(0),
      }
    },
    feeds: () => fed({ loc: [0, 0, 0], scale: [1, 1, 1] }, [1, channels, 1, 1]),
    deviation: ({ y, expected, initialized }) => Math.max(gap(y, expected), gap(initialized, [1])),
  }),
  lawOf({
    name: 'ActNorm has an inverse, and the determinant of a diagonal map',
    equation: 'f^-1(f(x)) = x; log |det df/dx| = h w sum log |s|',
    source: 'Kingma and Dhariwal 2018, table 1',
    tolerance: { float64: 1e-11, float32: 1e-4 },
    arbitrary: fc.record({ x: batch, start: batch }),
    outputs: ({ x, start }) => {
      const affine = affineOf(picture(start))
      const leaf = picture(x)
      const y = pipe(leaf, applyAffine(affine))
      return {
        back: pipe(y, invertAffine(affine)),
        det: pipe(leaf, affineLogDeterminant(affine)),
        slope: grad(pipe(y, sum()), [leaf])[0] ?? leaf,
      }
    },
    deviation: ({ back, det, slope: diagonal }, { x }) => {
      const ofItem = total(diagonal.map((d) => Math.log(Math.abs(d)))) / items
      return Math.max(gap(back, x), gap(det, [ofItem, ofItem]))
    },
  }),
  law({
    name: 'running statistics are means over passes, older ones forgotten by a tenth each time',
    equation: "r' = 0.9 r + 0.1 batch; two passes: 0.81 r + 0.09 first + 0.1 second; variances unbiased",
    source: "Ioffe and Szegedy 2015, algorithm 2; PyTorch's BatchNorm2d",
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({
      first: batch,
      second: batch,
      mean: reals(channels, -1, 1),
      spread: reals(channels, 0.5, 2),
    }),
    deviation: ({ first, second, mean, spread }, { ask }) => {
      const norm = batchNorm('', { training: true })
      const { buffers } = norm({ y: picture(second), buffers: norm({ y: picture(first), buffers: {} }).buffers })
      const [none, empty] = [scalar(0), [0, 0, 0]]
      const mixed = (old: readonly number[], of: (c: readonly number[]) => number): readonly number[] => {
        const [a, b] = [perChannel(first).map(of), perChannel(second).map(of)]
        return old.map((r, i) => 0.81 * r + 0.09 * (a[i] ?? 0) + 0.1 * (b[i] ?? 0))
      }
      return pipe(
        ask(
          {
            mean: buffers.running_mean ?? none,
            spread: buffers.running_var ?? none,
            count: buffers.num_batches_tracked ?? none,
          },
          {
            ...fed({ running_mean: mean, running_var: spread }, shape),
            ...fed({ num_batches_tracked: empty.slice(0, 1) }, []),
          },
        ),
        TE.map((r) =>
          Math.max(
            gap(r.mean, mixed(mean, average)),
            gap(
              r.spread,
              mixed(spread, (c) => variance(c, 1)),
            ),
            gap(r.count, [2]),
          ),
        ),
      )
    },
  }),
  law({
    name: 'a batch that is as its running statistics gets the same in evaluation',
    equation: 'train(x) = eval(x) where running mean and variance are those of x',
    source: 'Ioffe and Szegedy 2015, algorithm 2',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: fc.record({ x: batch, weight: reals(channels, -2, 2), bias: reals(channels, -2, 2) }),
    deviation: ({ x, weight, bias }, { ask }) => {
      const pass = (training: boolean): Tensor => batchNorm('', { training })({ y: picture(x), buffers: {} }).y
      const own = {
        running_mean: perChannel(x).map(average),
        running_var: perChannel(x).map((c) => variance(c, 0)),
      }
      return pipe(
        ask({ train: pass(true), evaluate: pass(false) }, fed({ weight, bias, ...own }, shape)),
        TE.map((r) => gap(r.train, r.evaluate)),
      )
    },
  }),
]

/** The parts of an adversarial or quantised autoencoder. */
export const firstStageLaws: readonly Law[] = [...perceptual, ...quantiserLaws, ...norms]
