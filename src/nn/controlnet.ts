import { add, at, type Scope, shared, silu, sumAll, type Tensor } from '../declare/index.ts'
import { pipe, RA, type ReadonlyNonEmptyArray } from '../prelude.ts'
import { type Decoded, list, record, withDefault } from '../schema.ts'
import { mostLevels, width } from './bounds.ts'
import { type Convolution, conv2d, type Layer, type Mode, type Module, sequential, zeros } from './layers.ts'
import type { Residuals } from './skip-connected.ts'
import { inputBlocks, middleBlock } from './unet/blocks.ts'
import { trunkFields } from './unet/config.ts'
import { type Conditioning, toldBy } from './unet/unet.ts'

/** A copy of a U-Net's way down that sees a picture beside the latents (Zhang et al. 2023). */
export const controlNetConfig = record(
  {
    ...trunkFields.required,
    /** Channels of the picture. */
    hintChannels: width,
  },
  {
    ...trunkFields.defaulted,
    ...trunkFields.conditioned,
    /** Channels of the convolutions that bring the picture to the latents' size: each but the first halves it. */
    hintWidths: withDefault(list(width, { min: 1, max: mostLevels }), [16, 32, 96, 256]),
  },
  trunkFields.optional,
)
/** `controlNetConfig`, decoded. */
export type ControlNetConfig = Decoded<typeof controlNetConfig>

const plainSilu: Module = () => silu
const convolution =
  (c: Convolution): Module =>
  (s) =>
    conv2d(s, c)
const wide = { kernel: 3, padding: 1 }

/** Pictures [N, hintChannels, H, W] to [N, modelChannels, h, w]; h = H / 2^(widths - 1). */
const hintBlock = (s: Scope, { hintWidths, modelChannels }: ControlNetConfig): Layer =>
  sequential(
    ...hintWidths.flatMap((out, i) => [
      convolution({ ...wide, out, stride: i === 0 ? 1 : 2 }),
      plainSilu,
      ...(i === hintWidths.length - 1 ? [] : [convolution({ ...wide, out }), plainSilu]),
    ]),
    convolution({ ...wide, out: modelChannels, init: zeros }),
  )(s)

/** Under the index 0, as in a `TimestepEmbedSequential`. */
const zeroConvolution = (s: Scope): Layer =>
  shared((x) => pipe(x, conv2d(at(s, 0), { out: x.shape[1] ?? 0, kernel: 1, init: zeros })))

/**
 * Latents x[N, inChannels, h, w] at timesteps [N] and a picture [N, hintChannels, H, W] in 0..1 to what a U-Net of the same trunk takes
 * as residuals: one for each input block and the middle. Source: `ControlNet` of lllyasviel/ControlNet, cldm/cldm.py.
 */
export const controlNet = (s: Scope, config: ControlNetConfig, { training = false }: Mode = {}) =>
  shared((x: Tensor, timesteps: Tensor, hint: Tensor, given: Omit<Conditioning, 'residuals'> = {}): Residuals => {
    const c = training ? config : { ...config, dropout: 0 }
    const told = toldBy(s, c)(timesteps, given)
    const [first, ...rest] = inputBlocks(at(s, 'input_blocks'), c, told)
    const seen = pipe(hint, hintBlock(at(s, 'input_hint_block'), c))
    const start = first === undefined ? x : pipe(first(x), add(seen))
    const maps: ReadonlyNonEmptyArray<Tensor> = pipe(
      rest,
      RA.scanLeft(start, (h: Tensor, block: Layer) => block(h)),
    )
    const middle = pipe(maps.at(-1) ?? start, middleBlock(at(s, 'middle_block'), c, told))
    return {
      down: maps.map((h, i) => zeroConvolution(at(at(s, 'zero_convs'), i))(h)),
      middle: zeroConvolution(at(s, 'middle_block_out'))(middle),
    }
  })

/** Each times a number, as a request's strength has it. */
export const scaledResiduals =
  (times: (x: Tensor, place: number) => Tensor) =>
  ({ down, middle }: Residuals): Residuals => ({
    down: down.map(times),
    middle: times(middle, down.length),
  })

/** The sum of several, each of the same network's size. */
export const addedResiduals = ([first, ...rest]: ReadonlyNonEmptyArray<Residuals>): Residuals => ({
  down: first.down.map((x, i) => sumAll(x, ...rest.flatMap(({ down }) => down[i] ?? []))),
  middle: sumAll(first.middle, ...rest.map(({ middle }) => middle)),
})
