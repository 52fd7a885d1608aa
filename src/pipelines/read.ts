import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { type Effect, effect, failure, reasonOf } from '../error.ts'
import { fileEffect } from '../io/bytes.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import { TE } from '../prelude.ts'
import { type ReadModel, readCompVis } from './read-compvis.ts'

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
  readonly path: string
  readonly yaml?: string
}

/** Opens a model for as long as `use` takes; its arrays are read when they are needed. */
export const withPublished = <A>({ path, yaml }: Where, use: (model: ReadModel) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const config = yaml === undefined ? undefined : await run(readYaml(yaml))
    return run(
      withCheckpointFile(path, {}, ({ arrays }) =>
        effect(async (go) => go(use(await go(readCompVis(path, config, arrays))))),
      ),
    )
  })
