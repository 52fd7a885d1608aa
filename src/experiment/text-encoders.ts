import type { Scope, Tensor } from '../declare/index.ts'
import { transformerEmbedder, transformerEmbedderConfig } from '../nn/text/bert.ts'
import { clipText } from '../nn/text/clip.ts'
import { clipTextConfig } from '../nn/text/clip-config.ts'
import { t5Config, t5Encoder } from '../nn/text/t5.ts'
import { about, type Decoded, describedRecord, describedTagged, flag, integer, withDefault } from '../schema.ts'

/** Published text encoders, and what of their states a network is told. */

export const textEncoder = describedTagged('kind', {
  clip: about(
    "CLIP's text transformer (Radford et al. 2021), of OpenAI or OpenCLIP.",
    describedRecord({ config: about('Its sizes, as its config.json says them.', clipTextConfig) }),
  ),
  bert: about(
    "The text transformer of CompVis' text to image [BERTEmbedder].",
    describedRecord({ config: about('Its sizes, as published.', transformerEmbedderConfig) }),
  ),
  t5: about(
    'The encoder of T5 (Raffel et al. 2020); padding takes part [FrozenT5Embedder].',
    describedRecord({ config: about('Its sizes, as its config.json says them.', t5Config) }),
  ),
})
export type Encoder = Decoded<typeof textEncoder>

/** T5 tells distances apart, and no positions: as many tokens as it was trained on. */
const t5Positions = 512
/** Tokens that an encoder reads at most. */
export const positionsOf = ({ config }: Encoder): number => ('positions' in config ? config.positions : t5Positions)

export const textEncoderFields = {
  skip: about(
    'How many of the last layers are left out, before any that a request leaves out [clip_skip]: 0 of Stable Diffusion 1, 1 of 2.',
    withDefault(integer({ min: 0, max: 127 }), 0),
  ),
  normalized: about("Whether the state is normalised by the encoder's last norm.", withDefault(flag, true)),
  pooled: about(
    'Whether the text as a whole, projected, is a part of the vector that is added to the time.',
    withDefault(flag, false),
  ),
}

/** An encoder, and what is taken of it. */
export interface EncodedPart {
  readonly encoder: Encoder
  readonly skip: number
  readonly normalized: boolean
  readonly pooled: boolean
}

/** States [N, L, D], and the whole as one vector [N, P] where it is asked for. */
export interface EncodedText {
  readonly states: Tensor
  readonly pooled?: Tensor
}

type Encode = (ids: Tensor) => EncodedText
const encoders: {
  readonly [K in Encoder['kind']]: (
    s: Scope,
    e: Extract<Encoder, { readonly kind: K }>,
    part: EncodedPart,
    skip: number,
  ) => Encode
} = {
  clip: (s, { config }, { normalized, pooled }, skip) => {
    const encode = clipText(s, config)
    return (ids) => {
      const text = encode(ids)
      const plain = text.hidden[text.hidden.length - 1 - skip]
      return {
        states: normalized || plain === undefined ? text.before(skip) : plain,
        ...(pooled ? { pooled: text.projected ?? text.pooled } : {}),
      }
    }
  },
  bert: (s, { config }) => {
    const encode = transformerEmbedder(s, config)
    return (ids) => ({ states: encode(ids) })
  },
  t5: (s, { config }) => {
    const encode = t5Encoder(s, config)
    return (ids) => ({ states: encode(ids) })
  },
}
const encoderOf = <K extends Encoder['kind']>(
  kind: K,
  s: Scope,
  e: Extract<Encoder, { readonly kind: K }>,
  part: EncodedPart,
  skip: number,
): Encode => encoders[kind](s, e, part, skip)

/** Ids int32[N, L] to what is told of them, without `clipSkip` layers more than the part leaves out itself. */
export const textEncoded = (s: Scope, part: EncodedPart, clipSkip = 0): Encode =>
  encoderOf(part.encoder.kind, s, part.encoder, part, part.skip + clipSkip)

/** How wide what an encoder says of a whole text is. */
export const pooledWidth = ({ encoder }: EncodedPart): number =>
  encoder.kind === 'clip' ? (encoder.config.projection ?? encoder.config.width) : 0

/** A sinusoidal embedding of a number in `dim`, cosines first, as diffusers computes it in single precision. */
export const sinusoids = (x: number, dim: number): readonly number[] => {
  const half = Math.floor(dim / 2)
  const angles = Array.from({ length: half }, (_, i) =>
    Math.fround(x * Math.fround(Math.exp(Math.fround(Math.fround(-Math.log(10000) * i) / half)))),
  )
  return [...angles.map(Math.cos), ...angles.map(Math.sin)]
}

/** Sizes of a picture where none are told: it is not cropped, and as large as it is. */
export const plainSizes = (height: number, width: number): readonly number[] => [height, width, 0, 0, height, width]
