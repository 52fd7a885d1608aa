import { type Checked, collect, fail } from '../error.ts'
import type { UnreadArrays } from '../io/stored.ts'
import { type ClipTextConfig, clipTextOf } from '../nn/text/clip-config.ts'
import { E, pipe } from '../prelude.ts'
import type { ConditioningPart, OriginalModel } from '../published/compvis/index.ts'

/** Text encoders of the original code: what its configurations leave to the code is found by the checkpoint's shapes. */

/** As the document has it, before it is checked. */
export interface OriginalText {
  readonly part: unknown
  /** What was taken to be so, as no file says. */
  readonly remark?: string
}

/** Of encoders that are none of those published, in their order. */
export interface TextOptions {
  /** Folders. */
  readonly tokenizers: readonly string[]
  /** Files, and what they hold. */
  readonly textEncoders: readonly { readonly path: string; readonly config: unknown }[]
}
interface PartOptions {
  /** The tokenizer's name in the document. */
  readonly tokenizer: string | undefined
  readonly textEncoder: TextOptions['textEncoders'][number] | undefined
}

/** What the folders of tokenizers are called, by the encoder's place. */
const tokenizerNames = ['tokenizer', 'tokenizer_2'] as const
/** Folders of tokenizers by the names that the document has for them. */
export const tokenizerFolders = ({ tokenizers }: TextOptions): Readonly<Record<string, string>> =>
  Object.fromEntries(
    tokenizerNames.flatMap((name, k) => {
      const folder = tokenizers[k]
      return folder === undefined ? [] : [[name, folder] as const]
    }),
  )

/** Every published transformer of CLIP has heads of this width, and is as wide as one of these. */
const headWidth = 64
const publishedWidths: readonly number[] = [512, 640, 768, 1024, 1280]

interface Names {
  readonly tokens: string
  readonly positions: string
  readonly layer: (i: number) => string
  readonly wide: (i: number) => string
  readonly projection: string
}
const transformers = (prefix: string): Names => {
  const model = `${prefix}transformer.text_model.`
  return {
    tokens: `${model}embeddings.token_embedding.weight`,
    positions: `${model}embeddings.position_embedding.weight`,
    layer: (i) => `${model}encoder.layers.${i}.layer_norm1.weight`,
    wide: (i) => `${model}encoder.layers.${i}.mlp.fc1.weight`,
    projection: `${prefix}transformer.text_projection.weight`,
  }
}
const openClip = (prefix: string): Names => ({
  tokens: `${prefix}model.token_embedding.weight`,
  positions: `${prefix}model.positional_embedding`,
  layer: (i) => `${prefix}model.transformer.resblocks.${i}.ln_1.weight`,
  wide: (i) => `${prefix}model.transformer.resblocks.${i}.mlp.c_fc.weight`,
  projection: `${prefix}model.text_projection`,
})

/** A transformer by the shapes of its arrays. Errors (`file`): it is not there. */
const byShapes = (
  names: Names,
  found: UnreadArrays,
  activation: ClipTextConfig['activation'],
): Checked<ClipTextConfig> => {
  const [vocabulary, width] = found[names.tokens]?.shape ?? []
  if (vocabulary === undefined || width === undefined)
    return fail('file', names.tokens, 'the table of a text encoder', 'none')
  const layers = Object.keys(found).length
  const count = Array.from({ length: Math.min(layers, 128) }, (_, i) => i).findIndex((i) => !(names.layer(i) in found))
  return E.right({
    vocabulary,
    width,
    layers: count,
    heads: Math.max(1, Math.floor(width / headWidth)),
    positions: found[names.positions]?.shape[0] ?? 77,
    mlpWidth: found[names.wide(0)]?.shape[0] ?? null,
    activation,
    projection: found[names.projection]?.shape[1] ?? null,
    eps: 1e-5,
    endToken: null,
  })
}

type ClipEncoder = Extract<ConditioningPart['encoder'], { readonly kind: 'clip' | 'open-clip' }>

/** So many layers are left out: of states counted from the start, and from the end. */
const skipOf = (layer: number, layers: number): number => (layer < 0 ? -1 - layer : layers - layer)

const clipPart = (
  { encoder, prefix }: { readonly encoder: ClipEncoder; readonly prefix: string },
  found: UnreadArrays,
  { tokenizer, textEncoder }: PartOptions,
): Checked<OriginalText> => {
  const packed = encoder.kind === 'open-clip'
  const names = packed ? openClip(prefix) : transformers(prefix)
  const { state } = encoder
  if (state === 'pooled') return fail('config', prefix, 'a state of the text encoder', 'the pooled one alone')
  return pipe(
    byShapes(names, found, packed ? 'gelu' : 'quick_gelu'),
    E.flatMap((own) =>
      pipe(
        textEncoder === undefined ? E.right(own) : clipTextOf(textEncoder.config, textEncoder.path),
        E.map((config) => ({ own, config })),
      ),
    ),
    E.map(({ own, config }) => {
      const skip = skipOf(state.layer, own.layers)
      // A normalised state below the last is the last of a shorter transformer, as diffusers has it.
      const shorter = state.normalised && !encoder.pools ? skip : 0
      const guessed = textEncoder === undefined && !publishedWidths.includes(own.width)
      return {
        ...(guessed
          ? {
              remark: `a text encoder ${own.width} wide is none that is published: it is taken to have ${own.heads} heads; --text-encoder config.json says what it has`,
            }
          : {}),
        part: {
          encoder: {
            kind: 'clip',
            config: {
              ...config,
              layers: own.layers - shorter,
              projection: encoder.pools ? own.projection : null,
            },
          },
          tokenizer:
            tokenizer !== undefined
              ? { from: 'folder', name: tokenizer }
              : packed
                ? { from: 'clip' }
                : { from: 'clip', pad: '<|endoftext|>', cleaning: 'transformers' },
          skip: skip - shorter,
          normalized: state.normalised,
          pooled: encoder.pools,
        },
      }
    }),
  )
}

type TextEncoder = Extract<ConditioningPart['encoder'], { readonly kind: 'clip' | 'open-clip' | 'bert' }>
interface TextConditioning extends ConditioningPart {
  readonly encoder: TextEncoder
}
/** A transformer of tokens that are no words reads boxes. */
const readsText = (part: ConditioningPart): part is TextConditioning =>
  part.encoder.kind === 'clip' ||
  part.encoder.kind === 'open-clip' ||
  (part.encoder.kind === 'bert' && part.encoder.tokenises)

const textPart = (
  { encoder, prefix }: TextConditioning,
  found: UnreadArrays,
  options: PartOptions,
): Checked<OriginalText> => {
  if (encoder.kind !== 'bert') return clipPart({ encoder, prefix }, found, options)
  const { width, layers, vocabulary, positions } = encoder
  return options.tokenizer === undefined
    ? fail(
        'usage',
        '--tokenizer',
        'the folder of the tokenizer, which is not in the checkpoint',
        'nothing',
        "a folder with vocab.txt or tokenizer.json: that of bert-base-uncased for CompVis' models",
      )
    : E.right({
        part: {
          encoder: { kind: 'bert', config: { width, layers, vocabulary, positions } },
          tokenizer: { from: 'folder', name: options.tokenizer },
        },
      })
}

/** Options for as many encoders as there are. Errors (`usage`): one too many. */
const enough = (count: number, { tokenizers, textEncoders }: TextOptions): Checked<unknown> =>
  collect(
    [['--tokenizer', tokenizers.length] as const, ['--text-encoder', textEncoders.length] as const].map(
      ([flag, given]) =>
        given <= count ? E.right(given) : fail('usage', flag, `one for each encoder of texts: ${count}`, `${given}`),
    ),
  )

/** The encoders of texts of a model. Errors: `config`, `file`, `usage`. */
export const originalTexts = (
  { conditioning }: OriginalModel,
  found: UnreadArrays,
  options: TextOptions,
): Checked<readonly OriginalText[]> => {
  const parts = conditioning.filter(readsText)
  return pipe(
    enough(parts.length, options),
    E.flatMap(() =>
      collect(
        parts.map((part, k) =>
          textPart(part, found, {
            tokenizer: options.tokenizers[k] === undefined ? undefined : tokenizerNames[k],
            textEncoder: options.textEncoders[k],
          }),
        ),
      ),
    ),
  )
}
