import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { UnreadArray } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type InversionEncoder, type TextualInversion, withInversion } from '../text/textual-inversion.ts'
import type { Pipeline } from './request.ts'

/** Words with embeddings of their own, in the tokenizers and text encoders of a published model. */

const table = 'transformer.text_model.embeddings.token_embedding.weight'
/** What files call the text encoders of a model, by their places. */
const encoderNames: readonly InversionEncoder[] = ['clip_l', 'clip_g']

/** The encoders that an inversion is for: those that its file names, or those whose embeddings are as wide as its vectors. */
const encodersOf = ({ document }: Pipeline, inversion: TextualInversion): Checked<readonly number[]> => {
  const { text } = document.conditioning
  const places = text.flatMap(({ encoder }, k) => {
    const name = encoderNames[k]
    if (encoder.kind !== 'clip' || name === undefined) return []
    const { any } = inversion.vectors
    return inversion.vectors[name] !== undefined || any?.shape[1] === encoder.config.width ? [k] : []
  })
  return places.length > 0
    ? E.right(places)
    : fail(
        'data',
        inversion.token,
        `embeddings of width ${text.map(({ encoder }) => encoder.config.width).join(' or ')}, as the text encoders have`,
        Object.entries(inversion.vectors)
          .map(([name, { shape }]) => `${name} of width ${shape[1]}`)
          .join(', '),
        'it was made for another model',
      )
}

const extendedAt = (pipeline: Pipeline, inversion: TextualInversion, k: number): Effect<Pipeline> =>
  effect(async (run) => {
    const { document, weights, tokenizers } = pipeline
    const part = document.conditioning.text[k]
    const [tokenizer, found] = [tokenizers[k], weights[`text.${k}`]?.[table]]
    const name = encoderNames[k] ?? 'any'
    if (part === undefined || part.encoder.kind !== 'clip' || tokenizer === undefined || found === undefined)
      return run(TE.fromEither(fail('data', inversion.token, 'a text encoder of CLIP', 'none')))
    const array = await run(found.read)
    if (array.dtype !== 'float32') return run(TE.fromEither(fail('file', table, 'floating-point numbers', array.dtype)))
    const { encoder } = part
    const extended = await run(TE.fromEither(withInversion(inversion, name)({ tokenizer, table: array })))
    const { shape, data } = extended.table
    const longer: UnreadArray = { dtype: 'F32', shape, bytes: data.byteLength, read: TE.right(extended.table) }
    const vocabulary = shape[0] ?? 0
    return {
      ...pipeline,
      document: {
        ...document,
        conditioning: {
          ...document.conditioning,
          text: document.conditioning.text.with(k, {
            ...part,
            encoder: { kind: 'clip', config: { ...encoder.config, vocabulary } },
          }),
        },
      },
      weights: { ...weights, [`text.${k}`]: { ...weights[`text.${k}`], [table]: longer } },
      tokenizers: tokenizers.with(k, extended.tokenizer),
    }
  })

/**
 * A model that knows a new word: by all encoders that it has embeddings for, or by those of `only`. Errors: `data`, a word that is there,
 * embeddings of another width; `file`.
 */
export const withWord = (pipeline: Pipeline, inversion: TextualInversion, only?: readonly number[]): Effect<Pipeline> =>
  pipe(
    TE.fromEither(only === undefined ? encodersOf(pipeline, inversion) : E.right(only)),
    TE.flatMap((places) =>
      places.reduce<Effect<Pipeline>>(
        (before, k) =>
          pipe(
            before,
            TE.flatMap((extended) => extendedAt(extended, inversion, k)),
          ),
        TE.right(pipeline),
      ),
    ),
  )
