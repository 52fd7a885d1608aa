import { basename, dirname, join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import { type EncodedPart, type Encoder, positionsOf } from '../experiment/text-encoders.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import type { UnreadArrays } from '../io/stored.ts'
import type { Layout } from '../nn/layout.ts'
import { clipTextModels, clipTextOf } from '../nn/text/clip-config.ts'
import { clipFile } from '../nn/text/clip-names.ts'
import { t5Names, t5Of } from '../nn/text/t5-files.ts'
import { E, pipe, TE, t } from '../prelude.ts'
import { otherFamily } from '../published/families.ts'
import { decode, integer, record } from '../schema.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { clipTokenizer, isTokenizer, readTokenizer } from '../text/tokenizer-files.ts'
import { matched } from './arrays.ts'
import { namesIn, readJson, withComponent } from './component-files.ts'
import { textGraph } from './texts.ts'
import type { Weights } from './weights.ts'

/** The folder of a text encoder alone: as transformers has it, or OpenCLIP. */

/** Text encoders where they were found, which are open as long as they are used. */
export interface FoundTexts {
  readonly parts: readonly EncodedPart[]
  readonly tokenizers: readonly Tokenizer[]
  readonly weights: Weights
  /** Of tokenizers that have files of their own. */
  readonly folders: readonly string[]
}

const isObject = t.UnknownRecord.is
const [transformers, openClip] = ['config.json', 'open_clip_config.json'] as const

/** Whether a path is one: a folder with the configuration of an encoder, and not of a model that draws. */
export const isEncoderFolder = (path: string): Effect<boolean> =>
  effect(async (run) => {
    const names = await namesIn(path)()
    if (E.isLeft(names) || names.right.includes('model_index.json')) return false
    if (names.right.includes(openClip)) return true
    if (!names.right.includes(transformers)) return false
    const config = await run(readJson(join(path, transformers)))
    return isObject(config) && typeof config.model_type === 'string'
  })

const clip = (document: unknown, at: string): Checked<Encoder> =>
  pipe(
    clipTextOf(document, at),
    E.map((config) => ({ kind: 'clip', config })),
  )
const projecting = 'CLIPTextModelWithProjection'
/** Encoders by `model_type`. */
const encoders: Readonly<
  Record<string, (document: Readonly<Record<string, unknown>>, at: string) => Checked<Encoder>>
> = {
  clip_text_model: clip,
  /** With a picture tower beside it, which is not read. */
  clip: ({ text_config: own, projection_dim }, at) =>
    clip(isObject(own) ? { projection_dim, ...own, architectures: [projecting] } : own, `${at}: /text_config`),
  t5: t5Of,
  mt5: t5Of,
}

const side = integer({ min: 1, max: 2 ** 20 })
const openClipText = record(
  { width: side, heads: side, layers: side },
  {
    vocab_size: { of: side, fallback: clipTextModels['ViT-H-14'].vocabulary },
    context_length: { of: side, fallback: 77 },
  },
)
const openClipFields = ['width', 'heads', 'layers', 'vocab_size', 'context_length']
/** OpenCLIP's own configuration: `model_cfg` with `text_cfg`. */
const openClipOf = (document: unknown, at: string): Checked<Encoder> => {
  const model = isObject(document) ? document.model_cfg : undefined
  const text = isObject(model) ? model.text_cfg : undefined
  if (!isObject(model) || !isObject(text)) return fail('config', `${at}: /model_cfg/text_cfg`, 'an object', 'nothing')
  if (text.hf_model_name !== undefined)
    return fail('config', `${at}: /model_cfg/text_cfg`, "OpenCLIP's own text transformer", `${text.hf_model_name}`)
  return pipe(
    Object.fromEntries(Object.entries(text).filter(([key]) => openClipFields.includes(key))),
    decode(openClipText, { base: `${at}: /model_cfg/text_cfg` }),
    E.map(({ width, heads, layers, vocab_size: vocabulary, context_length: positions }) => ({
      kind: 'clip',
      config: {
        ...{ vocabulary, width, layers, heads, positions, mlpWidth: null, eps: 1e-5, endToken: null },
        activation: model.quick_gelu === true ? 'quick_gelu' : 'gelu',
        projection: typeof model.embed_dim === 'number' ? model.embed_dim : width,
      },
    })),
  )
}

/** Errors (`config`): an encoder that is not built, by its type. */
const encoderOf = (document: unknown, at: string): Checked<Encoder> => {
  const type = isObject(document) ? document.model_type : undefined
  const read = typeof type === 'string' && Object.hasOwn(encoders, type) ? encoders[type] : undefined
  return isObject(document) && read !== undefined
    ? read(document, at)
    : fail(
        'config',
        `${at}: /model_type`,
        Object.keys(encoders).join(' | '),
        JSON.stringify(type) ?? 'nothing',
        typeof type === 'string' && otherFamily(type) === undefined && type.includes('bert')
          ? "the BERT that is built is latent diffusion's own: name its checkpoint"
          : undefined,
      )
}

const layoutOf = ({ kind, config }: Encoder, found: UnreadArrays, at: string): Checked<Layout> => {
  const keys = Object.keys(found)
  return kind === 't5'
    ? E.right(t5Names(keys))
    : pipe(
        clipFile(keys, config, at),
        E.map(({ layout }) => layout),
      )
}

/** Opens the weights of an encoder for as long as `use` takes. */
const withArrays = <A>(folder: string, use: (arrays: UnreadArrays) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const names = await run(namesIn(folder))
    const own = names.find((name) => /^open_clip_(pytorch_)?model\.(safetensors|bin)$/.test(name))
    return run(
      own === undefined
        ? withComponent(folder, undefined, ({ arrays }) => use(arrays))
        : withCheckpointFile(join(folder, own), {}, ({ arrays }) => use(arrays)),
    )
  })

/** The tokenizer that belongs to an encoder: as is said, in its folder, beside it, or CLIP's, which is in this package. */
const tokenizerOf = (
  folder: string,
  said: string | undefined,
  encoder: Encoder,
): Effect<{ readonly tokenizer: Tokenizer; readonly folders: readonly string[] }> =>
  effect(async (run) => {
    const positions = positionsOf(encoder)
    const beside = join(dirname(folder), basename(folder).replace('text_encoder', 'tokenizer'))
    for (const place of said === undefined ? [folder, beside] : [said])
      if (said !== undefined || (await isTokenizer(place)))
        return { tokenizer: await run(readTokenizer(place, { positions })), folders: [place] }
    if (encoder.kind === 'clip' && encoder.config.vocabulary === clipTextModels['ViT-L-14'].vocabulary) {
      const own =
        encoder.config.activation === 'gelu' ? {} : ({ cleaning: 'transformers', pad: '<|endoftext|>' } as const)
      return { tokenizer: await run(clipTokenizer({ positions, ...own })), folders: [] }
    }
    return run(
      TE.fromEither(
        fail(
          'file',
          folder,
          `a tokenizer in it, or in ${beside}: tokenizer.json, vocab.json with merges.txt, or vocab.txt`,
          'none',
          'the field "tokenizer" beside "from" names another folder',
        ),
      ),
    )
  })

const named = (part: EncodedPart, { size }: Tokenizer, at: string): Checked<unknown> => {
  const { vocabulary } = part.encoder.config
  return size <= vocabulary
    ? E.right(undefined)
    : fail('file', at, `a tokenizer of at most ${vocabulary} tokens, as the table of the encoder has`, `${size}`)
}

/** Opens the folder of a text encoder for as long as `use` takes. Errors: `config`, `file`. */
export const withEncoderFolder = <A>(
  folder: string,
  said: string | undefined,
  use: (found: FoundTexts) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    const isOpenClip = (await run(namesIn(folder))).includes(openClip)
    const path = join(folder, isOpenClip ? openClip : transformers)
    const document = await run(readJson(path))
    const encoder = await run(TE.fromEither(isOpenClip ? openClipOf(document, path) : encoderOf(document, path)))
    const part: EncodedPart = { encoder, skip: 0, normalized: true, pooled: false }
    const { tokenizer, folders } = await run(tokenizerOf(folder, said, encoder))
    await run(TE.fromEither(named(part, tokenizer, folders[0] ?? folder)))
    const graph = await run(TE.fromEither(textGraph({ ...part, pooled: encoder.kind === 'clip' }, 1, 1)))
    return run(
      withArrays(folder, (found) =>
        pipe(
          TE.fromEither(layoutOf(encoder, found, folder)),
          TE.flatMapEither((layout) => matched(graph, layout, found, folder)),
          TE.flatMap(({ arrays }) =>
            use({ parts: [part], tokenizers: [tokenizer], weights: { 'text.0': arrays }, folders }),
          ),
        ),
      ),
    )
  })
