import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { readBytes } from '../io/bytes.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import {
  type UnwrittenArray,
  type UnwrittenArrays,
  type WrittenDtype,
  writeSafetensors,
} from '../io/safetensors-writer.ts'
import { countNonFinite, type UnreadArray, type UnreadArrays } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { namesIn, readJson } from './component-files.ts'
import { pipelineDocument } from './document.ts'
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

/** An array as it is, which is read, and looked at, when it is written. */
const unwritten = (name: string, array: UnreadArray): Effect<UnwrittenArray> => {
  const dtype = dtypes[array.dtype]
  return dtype === undefined
    ? TE.fromEither(fail('file', name, `floating-point numbers: ${Object.keys(dtypes).join(', ')}`, array.dtype))
    : TE.right({
        dtype,
        shape: array.shape,
        read: pipe(
          array.read,
          TE.flatMapEither((read) => {
            const broken =
              read.data instanceof Float32Array || read.data instanceof Float64Array ? countNonFinite(read.data) : 0
            return broken === 0
              ? E.right(read)
              : fail('file', name, 'finite numbers', `${broken} that are NaN or infinite`)
          }),
        ),
      })
}

const unwrittenAll = (arrays: UnreadArrays): Effect<UnwrittenArrays> =>
  pipe(
    Object.entries(arrays),
    TE.traverseSeqArray(([name, array]) =>
      pipe(
        unwritten(name, array),
        TE.map((own) => [name, own] as const),
      ),
    ),
    TE.map(Object.fromEntries),
  )

/** Files that tokenizers are made of. */
const tokenizerFile =
  /^(tokenizer\.json|vocab\.(json|txt)|merges\.txt|(tokenizer_config|special_tokens_map|added_tokens)\.json)$/

const copyTokenizer = (from: string, to: string): Effect<void> =>
  effect(async (run) => {
    for (const name of (await run(namesIn(from))).filter((n) => tokenizerFile.test(n)))
      await run(writeFileAtomic(join(to, name), await run(readBytes(join(from, name)))))
  })

/** Writes a model as a run, an array after the other; the document last, which makes it one. Errors: `file`. */
export const writePublishedRun = (dir: string, { document, weights, folders }: ReadModel): Effect<void> =>
  effect(async (run) => {
    for (const [component, arrays] of Object.entries(weights))
      await run(writeSafetensors(join(dir, `${component}.safetensors`), await run(unwrittenAll(arrays))))
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
      : withCheckpointFile(join(dir, `${component}.safetensors`), {}, ({ arrays }) =>
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
    return run(withComponents(dir, Object.keys(graphs), (weights) => use({ document, weights, tokenizers })))
  })
