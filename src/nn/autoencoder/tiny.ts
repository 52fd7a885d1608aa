import { add, at, clamp, div, mul, relu, type Scope, shared, sub, type Tensor, tanh } from '../../declare/index.ts'
import { flow, pipe } from '../../prelude.ts'
import { type Decoded, integer, list, number, record, withDefault } from '../../schema.ts'
import { mostLevels, width } from '../bounds.ts'
import { type Convolution, conv2d, type Layer, type Module, sequential, upsample2 } from '../layers.ts'

const blocks = list(integer({ min: 0, max: 32 }), { min: 1, max: mostLevels })

/** A small autoencoder without noise or quantisation, for previews. In brackets the names of diffusers' configuration. */
export const tinyAutoencoderConfig = record(
  { inChannels: width, outChannels: width, latentChannels: width },
  {
    /** Of every map between pictures and latents. */
    channels: withDefault(width, 64),
    /** Blocks at each level, from the finest to the coarsest. */
    encoderBlocks: withDefault(blocks, [1, 3, 3, 3]),
    /** From the coarsest to the finest. */
    decoderBlocks: withDefault(blocks, [3, 3, 3, 1]),
    /** Latents of this size become 0 and 1 in pictures of them [latent_magnitude, latent_shift]. */
    magnitude: withDefault(number({ above: 0, max: 1e6 }), 3),
    shift: withDefault(number({ min: -1e6, max: 1e6 }), 0.5),
  },
)
/** `tinyAutoencoderConfig`, decoded. */
export type TinyAutoencoderConfig = Decoded<typeof tinyAutoencoderConfig>

const convolution =
  (c: Omit<Convolution, 'kernel' | 'padding'>): Module =>
  (s) =>
    conv2d(s, { ...c, kernel: 3, padding: 1 })
const toRelu: Module = () => relu
const enlarge: Module = () => upsample2

/** Three convolutions with residual; `conv.0`, `conv.2`, `conv.4`. */
const block: Module = (s) =>
  shared((x) => {
    const out = x.shape[1] ?? 0
    const [first, second, third] = [convolution({ out }), convolution({ out }), convolution({ out })]
    return pipe(x, sequential(first, toRelu, second, toRelu, third)(at(s, 'conv')), add(x), relu)
  })
const several = (count: number): readonly Module[] => Array.from({ length: count }, () => block)

/** Pictures [N, inChannels, H, W] in -1..1 to latents [N, latentChannels, h, w]. Source: `EncoderTiny` of diffusers. */
export const tinyEncode = (s: Scope, { channels, encoderBlocks, latentChannels }: TinyAutoencoderConfig): Layer =>
  flow(
    add(1),
    div(2),
    sequential(
      ...encoderBlocks.flatMap((count, level) => [
        convolution(level === 0 ? { out: channels } : { out: channels, stride: 2, bias: false }),
        ...several(count),
      ]),
      convolution({ out: latentChannels }),
    )(at(s, 'encoder.layers')),
  )

/** Latents to pictures in -1..1, or a little beyond. Source: `DecoderTiny` of diffusers. */
export const tinyDecode = (s: Scope, { channels, decoderBlocks, outChannels }: TinyAutoencoderConfig): Layer =>
  flow(
    div(3),
    tanh,
    mul(3),
    sequential(
      convolution({ out: channels }),
      toRelu,
      ...decoderBlocks.flatMap((count, i, { length }) => [
        ...several(count),
        ...(i === length - 1
          ? [convolution({ out: outChannels })]
          : [enlarge, convolution({ out: channels, bias: false })]),
      ]),
    )(at(s, 'decoder.layers')),
    mul(2),
    sub(1),
  )

/** Latents as pictures of them, in 0..1 [scale_latents]. */
export const tinyScaled = ({ magnitude, shift }: TinyAutoencoderConfig): ((latents: Tensor) => Tensor) =>
  flow(div(2 * magnitude), add(shift), clamp(0, 1))
