import {
  add,
  at,
  buffer,
  channels,
  concat,
  constant,
  conv2d,
  div,
  maximum,
  maxPool,
  mean,
  mul,
  pad,
  relu,
  type Scope,
  slice,
  sqrt,
  sub,
  sumAll,
  type Tensor,
  unsqueeze,
} from '../declare/index.ts'
import { float } from '../graph/types.ts'
import { flow, pipe } from '../prelude.ts'
import { chain, type Layer } from './layers.ts'

/**
 * InceptionV3 as the Frechet inception distance takes it (Szegedy et al. 2016; the weights of 2015-12-05, whose pooling differs from the
 * paper's). Structure, names and epsilon: `fid_inception_v3` of pytorch-fid and torchvision's `inception.py`.
 */

interface Convolution {
  readonly out: number
  /** Height and width, or both. */
  readonly kernel: number | readonly [number, number]
  readonly stride?: number
  /** As much padding as keeps the size; default false. */
  readonly same?: boolean
}

const loaded = { kind: 'loaded' } as const
const eps = 1e-3

/** Convolution, batch normalisation by the statistics of training, ReLU. */
const conv =
  (s: Scope, { out, kernel, stride = 1, same = false }: Convolution): Layer =>
  (x) => {
    const [height, width] = typeof kernel === 'number' ? [kernel, kernel] : kernel
    const [down, right] = same ? [(height - 1) / 2, (width - 1) / 2] : [0, 0]
    const weight = buffer(at(s, 'conv'), 'weight', [out, channels(x), height, width], loaded)
    const known = (name: string): Tensor => buffer(at(s, 'bn'), name, [out], loaded)
    const scale = pipe(known('weight'), div(pipe(known('running_var'), add(eps), sqrt)))
    const shift = pipe(known('bias'), sub(pipe(known('running_mean'), mul(scale))))
    return pipe(
      x,
      conv2d(weight, { stride: [stride, stride], padding: [down, right, down, right] }),
      mul(pipe(scale, unsqueeze(1, 2))),
      add(pipe(shift, unsqueeze(1, 2))),
      relu,
    )
  }

/** The slices of `length` along an axis that begin at `starts`. */
const shifted =
  (axis: 2 | 3, length: number, starts: readonly number[]) =>
  (x: Tensor): readonly Tensor[] =>
    starts.map((start) =>
      slice(
        x.shape.map((_, a) => (a === axis ? start : 0)),
        x.shape.map((n, a) => (a === axis ? length : n)),
      )(x),
    )
const greatest = (xs: readonly Tensor[]): Tensor => xs.reduce((a, b) => pipe(a, maximum(b)))

/** Maxima of three along an axis, two apart: the greater of both pairs. */
const halved =
  (axis: 2 | 3): Layer =>
  (x) => {
    const length = 2 * (Math.floor(((x.shape[axis] ?? 0) - 3) / 2) + 1)
    return greatest(shifted(axis, length, [0, 1])(x).map(axis === 2 ? maxPool(2, 1) : maxPool(1, 2)))
  }
/** Maxima of 3x3 windows, two apart. */
const maxPool3: Layer = flow(halved(2), halved(3))

/** The windows of three around each element along an axis, zeros beyond the edges. */
const around =
  (axis: 2 | 3) =>
  (x: Tensor): readonly Tensor[] => {
    const one = x.shape.map((_, a) => (a === axis ? 1 : 0))
    return pipe(x, pad(one, one), shifted(axis, x.shape[axis] ?? 0, [0, 1, 2]))
  }
/** Maxima of 3x3 windows of what is not negative, one apart. */
const maxPool3Same: Layer = flow(around(2), greatest, around(3), greatest)
/** Means of 3x3 windows, one apart, over what lies inside of x. */
const averagePool3: Layer = (x) => {
  const [, , height = 0, width = 0] = x.shape
  const inside = (i: number, n: number): number => 3 - (i === 0 ? 1 : 0) - (i === n - 1 ? 1 : 0)
  const counts = Array.from(
    { length: height * width },
    (_, i) => 1 / (inside(Math.floor(i / width), height) * inside(i % width, width)),
  )
  const sum = (xs: readonly Tensor[]): Tensor => sumAll(...xs)
  return pipe(x, around(2), sum, around(3), sum, mul(constant(counts, float(1, 1, height, width))))
}

type Named = readonly [name: string, of: Convolution]
/** Convolutions in a row below a scope. */
const row = (s: Scope, ...parts: readonly Named[]): Layer => chain(parts.map(([name, of]) => conv(at(s, name), of)))
/** Layers beside each other, their channels in a row. */
const branches =
  (...all: readonly Layer[]): Layer =>
  (x) =>
    concat(1, ...all.map((layer) => layer(x)))

const to = (out: number): Convolution => ({ out, kernel: 1 })
const keeping = (out: number, kernel: Convolution['kernel']): Convolution => ({ out, kernel, same: true })
const halving = (out: number): Convolution => ({ out, kernel: 3, stride: 2 })
const [flatKernel, tallKernel] = [
  [1, 7],
  [7, 1],
] as const

/** 35x35 */
const blockA = (s: Scope, pooled: number): Layer =>
  branches(
    row(s, ['branch1x1', to(64)]),
    row(s, ['branch5x5_1', to(48)], ['branch5x5_2', keeping(64, 5)]),
    row(s, ['branch3x3dbl_1', to(64)], ['branch3x3dbl_2', keeping(96, 3)], ['branch3x3dbl_3', keeping(96, 3)]),
    flow(averagePool3, row(s, ['branch_pool', to(pooled)])),
  )
/** 35x35 to 17x17 */
const blockB = (s: Scope): Layer =>
  branches(
    row(s, ['branch3x3', halving(384)]),
    row(s, ['branch3x3dbl_1', to(64)], ['branch3x3dbl_2', keeping(96, 3)], ['branch3x3dbl_3', halving(96)]),
    maxPool3,
  )
/** 17x17, `inner` channels between the convolutions of 7 */
const blockC = (s: Scope, inner: number): Layer =>
  branches(
    row(s, ['branch1x1', to(192)]),
    row(
      s,
      ['branch7x7_1', to(inner)],
      ['branch7x7_2', keeping(inner, flatKernel)],
      ['branch7x7_3', keeping(192, tallKernel)],
    ),
    row(
      s,
      ['branch7x7dbl_1', to(inner)],
      ['branch7x7dbl_2', keeping(inner, tallKernel)],
      ['branch7x7dbl_3', keeping(inner, flatKernel)],
      ['branch7x7dbl_4', keeping(inner, tallKernel)],
      ['branch7x7dbl_5', keeping(192, flatKernel)],
    ),
    flow(averagePool3, row(s, ['branch_pool', to(192)])),
  )
/** 17x17 to 8x8 */
const blockD = (s: Scope): Layer =>
  branches(
    row(s, ['branch3x3_1', to(192)], ['branch3x3_2', halving(320)]),
    row(
      s,
      ['branch7x7x3_1', to(192)],
      ['branch7x7x3_2', keeping(192, flatKernel)],
      ['branch7x7x3_3', keeping(192, tallKernel)],
      ['branch7x7x3_4', halving(192)],
    ),
    maxPool3,
  )
/** 8x8; the last one pools by maxima. */
const blockE = (s: Scope, pool: Layer): Layer => {
  const crossed = (name: string): Layer =>
    branches(row(s, [`${name}a`, keeping(384, [1, 3])]), row(s, [`${name}b`, keeping(384, [3, 1])]))
  return branches(
    row(s, ['branch1x1', to(320)]),
    flow(row(s, ['branch3x3_1', to(384)]), crossed('branch3x3_2')),
    flow(row(s, ['branch3x3dbl_1', to(448)], ['branch3x3dbl_2', keeping(384, 3)]), crossed('branch3x3dbl_3')),
    flow(pool, row(s, ['branch_pool', to(192)])),
  )
}

/** Pictures of 299x299 in [-1, 1] to the 2048 activations behind the last pooling, [N, 2048]. */
export const inceptionV3: Layer = (x) =>
  pipe(
    x,
    row(
      '',
      ['Conv2d_1a_3x3', halving(32)],
      ['Conv2d_2a_3x3', { out: 32, kernel: 3 }],
      ['Conv2d_2b_3x3', keeping(64, 3)],
    ),
    maxPool3,
    row('', ['Conv2d_3b_1x1', to(80)], ['Conv2d_4a_3x3', { out: 192, kernel: 3 }]),
    maxPool3,
    chain([
      blockA('Mixed_5b', 32),
      blockA('Mixed_5c', 64),
      blockA('Mixed_5d', 64),
      blockB('Mixed_6a'),
      blockC('Mixed_6b', 128),
      blockC('Mixed_6c', 160),
      blockC('Mixed_6d', 160),
      blockC('Mixed_6e', 192),
      blockD('Mixed_7a'),
      blockE('Mixed_7b', averagePool3),
      blockE('Mixed_7c', maxPool3Same),
    ]),
    mean({ axes: [2, 3] }),
  )
