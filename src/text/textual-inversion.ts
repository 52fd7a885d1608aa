import { basename, extname } from 'node:path'
import { type Checked, collect, type Effect, type Errors, fail, failure } from '../error.ts'
import { showShape } from '../graph/types.ts'
import { readSafetensors } from '../io/safetensors-file.ts'
import { countNonFinite, type StoredArray, type StoredArrays } from '../io/stored.ts'
import { describe, isKind, type Pick, readTorch, type TorchDict, type TorchValue } from '../io/torch/index.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { Tokenizer } from './tokenizer.ts'

/** New words with embeddings of their own [Gal 2022, textual inversion], as people have them in files. */

export type Vectors = Extract<StoredArray, { readonly dtype: 'float32' }>
/** The text encoders of Stable Diffusion XL by the names that such files have; `any` where a file does not say. */
export const inversionEncoders = ['clip_l', 'clip_g', 'any'] as const
/** A text encoder that an embedding is for, by the names of files. */
export type InversionEncoder = (typeof inversionEncoders)[number]

/** A word with embeddings of its own. */
export interface TextualInversion {
  /** What one writes in a prompt. */
  readonly token: string
  /** [vectors, width] for each encoder, equally many. */
  readonly vectors: Readonly<Partial<Record<InversionEncoder, Vectors>>>
}

/** The web interface's files hold their name and one table, under `*`; those of training scripts the table under the token. */
export const nameKey = 'emb_params'
/** Where our files say their word, in the header. */
export const tokenKey = 'token'
const field = (dict: TorchDict, name: string): TorchValue | undefined => dict.entries.get(name)
const pickVectors: Pick = (value, path) => {
  if (!isKind('dict')(value)) return fail('file', path, 'a dictionary of embeddings', describe(value))
  const [params, name] = [field(value, 'string_to_param'), field(value, 'name')]
  const [table] = params !== undefined && isKind('dict')(params) ? params.entries.values() : []
  if (table !== undefined)
    return isKind('tensor')(table)
      ? E.right({ [typeof name === 'string' ? name : nameKey]: table })
      : fail('file', `${path}: string_to_param`, 'a tensor', describe(table))
  return E.right(
    Object.fromEntries(
      [...value.entries].flatMap(([key, tensor]) =>
        typeof key === 'string' && isKind('tensor')(tensor) ? [[key, tensor]] : [],
      ),
    ),
  )
}

const mostVectors = 1024
const vectorsOf = (array: StoredArray, at: string): Checked<Vectors> => {
  const { shape } = array
  const [count = 0, width = 0] = shape.length === 1 ? [1, shape[0]] : shape
  if (array.dtype !== 'float32' || shape.length < 1 || shape.length > 2)
    return fail('file', at, 'floating-point vectors, one or a table of them', `${array.dtype} ${showShape(shape)}`)
  if (count < 1 || count > mostVectors || width < 1)
    return fail('file', at, `1 to ${mostVectors} vectors`, showShape(shape))
  const wrong = countNonFinite(array.data)
  return wrong === 0
    ? E.right({ dtype: 'float32', shape: [count, width], data: array.data })
    : fail('file', at, 'finite numbers', `${wrong} that are NaN or infinite`)
}

interface Tables {
  readonly token: string | undefined
  readonly tables: readonly (readonly [InversionEncoder, StoredArray])[]
}
const tablesIn = (arrays: StoredArrays, path: string): Checked<Tables> => {
  const found = Object.entries(arrays)
  const named = inversionEncoders.flatMap((encoder) => {
    const array = arrays[encoder]
    return array === undefined || encoder === 'any' ? [] : [[encoder, array] as const]
  })
  if (named.length > 0 && named.length === found.length) return E.right({ token: undefined, tables: named })
  const [only, ...more] = found
  return only !== undefined && more.length === 0
    ? E.right({ token: only[0] === nameKey ? undefined : only[0], tables: [['any', only[1]]] })
    : fail(
        'file',
        path,
        'one table of embeddings, or clip_l and clip_g: a textual inversion',
        found.length === 0
          ? 'no tensors'
          : found
              .map(([name]) => name)
              .slice(0, 8)
              .join(', '),
      )
}

/** Words are told apart by blanks. */
export const sound = (token: string, at: string): Checked<string> =>
  /^\S{1,200}$/u.test(token)
    ? E.right(token)
    : fail('file', at, 'a token of 1 to 200 characters without blanks', JSON.stringify(token), 'give it another name')

const readInversion =
  (path: string, given: string | undefined) =>
  ({
    arrays,
    said,
  }: {
    readonly arrays: StoredArrays
    readonly said?: string | undefined
  }): Checked<TextualInversion> =>
    pipe(
      tablesIn(arrays, path),
      E.flatMap(({ token, tables }) =>
        pipe(
          E.Do,
          E.bind('token', () => sound(given ?? token ?? said ?? basename(path, extname(path)), path)),
          E.bind('vectors', () =>
            pipe(
              collect(
                tables.map(([encoder, array]) =>
                  pipe(
                    vectorsOf(array, `${path}: ${encoder}`),
                    E.map((vectors) => [encoder, vectors] as const),
                  ),
                ),
              ),
              E.filterOrElse(
                (all) => new Set(all.map(([, { shape }]) => shape[0])).size === 1,
                (all): Errors => [
                  failure(
                    'file',
                    path,
                    'equally many vectors for each encoder',
                    all.map(([encoder, { shape }]) => `${encoder}: ${shape[0]}`).join(', '),
                  ),
                ],
              ),
              E.map((all): TextualInversion['vectors'] => Object.fromEntries(all)),
            ),
          ),
        ),
      ),
    )

/**
 * A textual inversion from a file: of diffusers (`.safetensors`, `.bin`), of the web interface (`.pt`, `emb_params`), of SDXL
 * (`clip_l` and `clip_g`). Its word is `token`, else what the file says, else the file's name. Errors: `file`.
 *
 * @example
 * readTextualInversion('learned_embeds.safetensors') // { token: '<toy>', vectors: { any: { shape: [1, 768], ... } } }
 */
export const readTextualInversion = (path: string, token?: string): Effect<TextualInversion> =>
  pipe(
    path.endsWith('.safetensors')
      ? pipe(
          readSafetensors(path),
          TE.map(({ tensors, metadata }) => ({ arrays: tensors, said: metadata[tokenKey] })),
        )
      : pipe(
          readTorch(path, pickVectors),
          TE.map((arrays) => ({ arrays })),
        ),
    TE.flatMapEither(readInversion(path, token)),
  )

/** Vectors of an inversion for one encoder. Errors (`data`): it has none for it. */
export const vectorsFor = ({ token, vectors }: TextualInversion, encoder: InversionEncoder): Checked<Vectors> => {
  const found = vectors[encoder] ?? vectors.any
  return found === undefined
    ? fail('data', token, `embeddings for ${encoder}`, Object.keys(vectors).join(', '))
    : E.right(found)
}

/** The words of a table of vectors: `<toy>`, `<toy>_1`, `<toy>_2`. */
export const inversionWords = (token: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => (i === 0 ? token : `${token}_${i}`))

/** A tokenizer that knows the word, and the table of its encoder's token embeddings [ids, width] with the word's vectors. */
export interface Extended {
  readonly tokenizer: Tokenizer
  readonly table: Vectors
}
/**
 * Adds a word to a tokenizer and its vectors to the encoder's token embedding. Errors (`data`): a word that is there, vectors of
 * another width.
 */
export const withInversion =
  (inversion: TextualInversion, encoder: InversionEncoder) =>
  ({ tokenizer, table }: Extended): Checked<Extended> =>
    pipe(
      vectorsFor(inversion, encoder),
      E.flatMap((vectors) => {
        const [rows = 0, width = 0] = table.shape
        if (vectors.shape[1] !== width)
          return fail(
            'data',
            inversion.token,
            `vectors of width ${width}, as the text encoder has`,
            `width ${vectors.shape[1]}`,
            'it was made for another model',
          )
        return pipe(
          tokenizer.adding(inversionWords(inversion.token, vectors.shape[0] ?? 1)),
          E.map((extended): Extended => {
            const data = new Float32Array(Math.max(rows, extended.size) * width)
            data.set(table.data)
            data.set(vectors.data, tokenizer.size * width)
            return { tokenizer: extended, table: { dtype: 'float32', shape: [data.length / width, width], data } }
          }),
        )
      }),
    )
