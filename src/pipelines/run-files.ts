import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checked, collect, type Effect, type Errors, effect, fail } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import {
  type HalfArray,
  type UnwrittenArray,
  type UnwrittenArrays,
  type WrittenDtype,
  writeSafetensors,
} from '../io/safetensors-writer.ts'
import { readPart } from '../io/source.ts'
import { countNonFinite, type StoredArray, type UnreadArray, type UnreadArrays } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { tokenizerFilesIn } from '../text/tokenizer-files.ts'
import { readJson } from './component-files.ts'
import { type PipelineDocument, pipelineDocument } from './document.ts'
import { graphsOf } from './networks.ts'
import { tokenizersOf } from './read-diffusers.ts'
import type { ReadModel } from './read-model.ts'
import type { Pipeline } from './request.ts'
import type { Weights } from './weights.ts'

/** A published model as a run: its document, its weights by component, its tokenizers. */

export const modelFile = 'model.json'

/** Whether a folder is such a run. */
export const isPublishedRun = (dir: string): Promise<boolean> =>
  stat(join(dir, modelFile)).then(
    () => true,
    () => false,
  )

const dtypes: Readonly<Record<string, WrittenDtype>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F64: 'float64',
}

/** Bits that stand for no number have all of an exponent's. */
const exponents = { float16: 0x7c00, bfloat16: 0x7f80 } as const
const countBrokenBits = (data: Uint16Array, exponent: number): number => {
  let count = 0
  for (let i = 0; i < data.length; i++) if (((data[i] ?? 0) & exponent) === exponent) count += 1
  return count
}
const countBroken = (array: StoredArray | HalfArray): number =>
  array.dtype === 'float16' || array.dtype === 'bfloat16'
    ? countBrokenBits(array.data, exponents[array.dtype])
    : array.data instanceof Float32Array || array.data instanceof Float64Array
      ? countNonFinite(array.data)
      : 0

/** What is written of an array: 16 bits as they lie in its file, everything else as it is read. */
const written = ({ place, shape, bytes, read }: UnreadArray, dtype: WrittenDtype): UnwrittenArray['read'] =>
  place === undefined || (dtype !== 'float16' && dtype !== 'bfloat16')
    ? read
    : pipe(
        readPart(place.path, place.position, bytes),
        TE.map(({ buffer, byteOffset, byteLength }) => ({
          dtype,
          shape,
          data: new Uint16Array(buffer, byteOffset, byteLength / 2),
        })),
      )

/** An array as it is, which is read, and looked at, when it is written. */
const unwritten = (at: string, array: UnreadArray): Effect<UnwrittenArray> => {
  const dtype = dtypes[array.dtype]
  return dtype === undefined
    ? TE.fromEither(fail('file', at, `floating-point numbers: ${Object.keys(dtypes).join(', ')}`, array.dtype))
    : TE.right({
        dtype,
        shape: array.shape,
        read: pipe(
          written(array, dtype),
          TE.flatMapEither((own) => {
            const broken = countBroken(own)
            return broken === 0
              ? E.right(own)
              : fail('file', at, 'finite numbers', `${broken} that are NaN or infinite`)
          }),
        ),
      })
}

const unwrittenAll = (component: string, arrays: UnreadArrays): Effect<UnwrittenArrays> =>
  pipe(
    Object.entries(arrays),
    TE.traverseSeqArray(([name, array]) =>
      pipe(
        unwritten(`${component}: ${name}`, array),
        TE.map((own) => [name, own] as const),
      ),
    ),
    TE.map(Object.fromEntries),
  )

const copyTokenizer = (from: string, to: string): Effect<void> =>
  effect(async (run) => {
    for (const [name, bytes] of Object.entries(await run(tokenizerFilesIn(from))))
      await run(writeFileAtomic(join(to, name), bytes))
  })

/** Tokenizers that give no token which an encoder's table lacks. Errors: `file`, `usage`. */
const withinTables = (
  { conditioning }: PipelineDocument,
  tokenizers: readonly Tokenizer[],
  folders: Readonly<Record<string, string>>,
): Checked<unknown> =>
  collect(
    conditioning.text.map(({ tokenizer, encoder }, k): Checked<unknown> => {
      const { vocabulary } = encoder.config
      const size = tokenizers[k]?.size ?? 0
      const table = `${vocabulary} tokens, as the table of text encoder ${k} has`
      return size <= vocabulary
        ? E.right(undefined)
        : tokenizer.from === 'folder'
          ? fail('file', folders[tokenizer.name] ?? tokenizer.name, `a tokenizer of at most ${table}`, `${size}`)
          : fail(
              'usage',
              '--tokenizer',
              `the tokenizer that the model was trained with, of ${table}`,
              `nothing, and CLIP's own has ${size}`,
              `a folder with vocab.json and merges.txt, or with tokenizer.json${k === 0 ? '' : ': the option a second time'}`,
            )
    }),
  )

const weightsFile = (dir: string, component: string): string => join(dir, `${component}.safetensors`)

const writeWeights = (dir: string, weights: Weights): Effect<void> =>
  effect(async (run) => {
    for (const [component, arrays] of Object.entries(weights))
      await run(writeSafetensors(weightsFile(dir, component), await run(unwrittenAll(component, arrays))))
  })

/** Weights of which some cannot be written are not written at all. */
const orElseWithout = (dir: string, components: readonly string[]) =>
  TE.orElse((errors: Errors) =>
    effect<void>(async (run) => {
      await Promise.all(components.map((component) => rm(weightsFile(dir, component), { force: true })))
      return run(TE.left(errors))
    }),
  )

/** Writes a model as a run, an array after the other; the document last, which makes it one. Errors: `file`, `usage`. */
export const writePublishedRun = (dir: string, { document, weights, folders, tokenizers }: ReadModel): Effect<void> =>
  effect(async (run) => {
    await run(TE.fromEither(withinTables(document, tokenizers, folders)))
    await run(pipe(writeWeights(dir, weights), orElseWithout(dir, Object.keys(weights))))
    for (const [name, folder] of Object.entries(folders)) await run(copyTokenizer(folder, join(dir, name)))
    const json = `${JSON.stringify(document, null, 2)}\n`
    await run(writeFileAtomic(join(dir, modelFile), new TextEncoder().encode(json)))
  })

/** Opens the files of components one in the other. */
const withComponents = <A>(
  dir: string,
  components: readonly string[],
  use: (weights: Weights) => Effect<A>,
): Effect<A> => {
  const from = (at: number, weights: Weights): Effect<A> => {
    const component = components[at]
    return component === undefined
      ? use(weights)
      : withCheckpointFile(weightsFile(dir, component), {}, ({ arrays }) =>
          from(at + 1, { ...weights, [component]: arrays }),
        )
  }
  return from(0, {})
}

/** Opens a published model's run for as long as `use` takes; its arrays are read when they are needed. Errors: `config`, `file`. */
export const withPublishedRun = <A>(dir: string, use: (pipeline: Pipeline) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const path = join(dir, modelFile)
    const document = await run(TE.fromEither(decode(pipelineDocument, { base: path })(await run(readJson(path)))))
    const graphs = await run(TE.fromEither(graphsOf(document)))
    const folders = Object.fromEntries(
      document.conditioning.text.flatMap(({ tokenizer }) =>
        tokenizer.from === 'folder' ? [[tokenizer.name, join(dir, tokenizer.name)]] : [],
      ),
    )
    const tokenizers = await run(tokenizersOf(document, folders))
    await run(TE.fromEither(withinTables(document, tokenizers, folders)))
    return run(withComponents(dir, Object.keys(graphs), (weights) => use({ document, weights, tokenizers })))
  })
