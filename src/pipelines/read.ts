import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { type Effect, effect, failure, reasonOf } from '../error.ts'
import { fileEffect } from '../io/bytes.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import { TE } from '../prelude.ts'
import { drawsByItself, noFolder } from './alone.ts'
import { readJson } from './component-files.ts'
import { readCompVis } from './read-compvis.ts'
import { isDiffusersFolder, withDiffusers } from './read-diffusers.ts'
import type { ReadModel } from './read-model.ts'
import { withSingleFile } from './read-single-file.ts'
import { recognised, yamlBeside } from './recognise.ts'

/** Published models from where they lie. */

/** A YAML file as data: aliases are followed so often as no published file needs more. Errors: `file`. */
export const readYaml = (path: string): Effect<unknown> =>
  effect(async (run) => {
    const text = await run(fileEffect(path, 'a configuration in YAML', () => readFile(path, 'utf8')))
    return run(
      TE.tryCatch(
        async (): Promise<unknown> => parse(text, { maxAliasCount: 100 }),
        (thrown) => [failure('file', path, 'YAML', reasonOf(thrown))],
      ),
    )
  })

export interface Where {
  /** A folder of diffusers, or a checkpoint. */
  readonly path: string
  /** The configuration of a checkpoint, in YAML. */
  readonly yaml?: string
  /** A folder with the configurations and tokenizers of diffusers, for a checkpoint's arrays. */
  readonly config?: string
  /** Of a folder's files: `fp16`. */
  readonly variant?: string
  /** Folder of a tokenizer, and the `config.json` of a text encoder, for a checkpoint that is none of those published. */
  readonly tokenizer?: string
  readonly textEncoder?: string
}

/** Opens a model for as long as `use` takes; its arrays are read when they are needed. Errors: `config`, `file`. */
export const withPublished = <A>(
  { path, yaml, config, variant, tokenizer, textEncoder }: Where,
  use: (model: ReadModel) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    if (await run(isDiffusersFolder(path))) return run(withDiffusers(path, variant, use))
    await run(noFolder(path))
    if (config !== undefined) return run(withSingleFile(path, config, use))
    const beside = yaml ?? (await run(yamlBeside(path)))
    const declared = beside === undefined ? undefined : await run(readYaml(beside))
    const options = {
      ...(tokenizer === undefined ? {} : { tokenizer }),
      ...(textEncoder === undefined ? {} : { textEncoder: await run(readJson(textEncoder)) }),
    }
    return run(
      withCheckpointFile(path, {}, ({ arrays, remarks }) =>
        effect(async (go) => {
          await go(TE.fromEither(drawsByItself(path, Object.keys(arrays))))
          const known =
            declared === undefined
              ? await go(TE.fromEither(recognised(path, arrays)))
              : { config: declared, remarks: [] }
          const model = await go(readCompVis(path, known.config, arrays, options))
          const told = [
            ...(beside === undefined ? [] : [`its configuration is ${beside}`]),
            ...('name' in known ? [`recognised as ${known.name}`] : []),
          ]
          return go(use({ ...model, remarks: [...remarks, ...told, ...known.remarks, ...model.remarks] }))
        }),
      ),
    )
  })
