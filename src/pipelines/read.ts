import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { type Checked, type Effect, effect, fail, failure, reasonOf } from '../error.ts'
import { fileEffect } from '../io/bytes.ts'
import { type CheckpointFile, withCheckpointFile } from '../io/checkpoint-file.ts'
import { E, pipe, RNEA, TE } from '../prelude.ts'
import { drawsByItself, noFolder, nothingThatDraws } from './alone.ts'
import { readJson } from './component-files.ts'
import { readCompVis } from './read-compvis.ts'
import { isDiffusersFolder, withDiffusers } from './read-diffusers.ts'
import type { ReadModel } from './read-model.ts'
import { singleFile } from './read-single-file.ts'
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
  /** Where in a checkpoint the model is, names joined by dots. */
  readonly from?: string
  /** Folders of the tokenizers of a checkpoint's text encoders, in their order, where they are not CLIP's. */
  readonly tokenizers?: readonly string[]
  /** The `config.json` of its text encoders, in their order, where they are none that is published. */
  readonly textEncoders?: readonly string[]
}

/** Kinds of models on the disk, and what is to be said of one where an option is for another. */
const kinds = {
  folder: 'a folder of diffusers, which has its own',
  configured: 'a checkpoint whose --config is a folder, which has its own',
  checkpoint: 'a checkpoint',
} as const
type Kind = keyof typeof kinds

/** Options by what they say something of. */
const options: readonly (readonly [flag: string, given: (where: Where) => unknown, kinds: readonly Kind[]])[] = [
  ['--variant', ({ variant }) => variant, ['folder']],
  ['--config', ({ yaml, config }) => yaml ?? config, ['configured', 'checkpoint']],
  ['--from', ({ from }) => from, ['configured', 'checkpoint']],
  ['--tokenizer', ({ tokenizers }) => tokenizers, ['checkpoint']],
  ['--text-encoder', ({ textEncoders }) => textEncoders, ['checkpoint']],
]
const places: { readonly [K in Kind]: string } = {
  folder: 'a folder of diffusers',
  configured: 'a checkpoint with a folder of configurations',
  checkpoint: 'a checkpoint with its YAML, or with none',
}
const applicable = (where: Where, kind: Kind): Checked<unknown> => {
  const found = options.find(([, given, of]) => given(where) !== undefined && !of.includes(kind))
  return found === undefined
    ? E.right(where)
    : fail('usage', found[0], found[2].map((of) => places[of]).join(', or '), `${where.path}: ${kinds[kind]}`)
}

/** Opens a model for as long as `use` takes; its arrays are read when they are needed. Errors: `config`, `file`, `usage`. */
export const withPublished = <A>(where: Where, use: (model: ReadModel) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const { path, yaml, config, variant, from, tokenizers, textEncoders } = where
    const isFolder = await run(isDiffusersFolder(path))
    await run(
      TE.fromEither(applicable(where, isFolder ? 'folder' : config === undefined ? 'checkpoint' : 'configured')),
    )
    if (isFolder) return run(withDiffusers(path, variant, use))
    await run(noFolder(path))
    const opened = <B>(body: (file: CheckpointFile) => Effect<B>) =>
      pipe(withCheckpointFile(path, { from }, body), TE.mapLeft(RNEA.map(nothingThatDraws)))
    if (config !== undefined) return run(opened((file) => singleFile(path, config, file, use)))
    const beside = yaml ?? (await run(yamlBeside(path)))
    const declared = beside === undefined ? undefined : await run(readYaml(beside))
    const encoders: { readonly path: string; readonly config: unknown }[] = []
    for (const file of textEncoders ?? []) encoders.push({ path: file, config: await run(readJson(file)) })
    const own = { tokenizers: tokenizers ?? [], textEncoders: encoders }
    return run(
      opened(({ arrays, remarks }) =>
        effect(async (go) => {
          await go(TE.fromEither(drawsByItself(path, arrays)))
          const known =
            declared === undefined
              ? await go(TE.fromEither(recognised(path, arrays)))
              : { config: declared, remarks: [] }
          const model = await go(readCompVis(path, known.config, arrays, own))
          const told = [
            ...(beside === undefined ? [] : [`its configuration is ${beside}`]),
            ...('name' in known ? [`recognised as ${known.name}`] : []),
          ]
          return go(use({ ...model, remarks: [...remarks, ...told, ...known.remarks, ...model.remarks] }))
        }),
      ),
    )
  })
