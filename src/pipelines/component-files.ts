import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, type Errors, effect, fail, failure, reasonOf } from '../error.ts'
import { fileEffect, readBytes } from '../io/bytes.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import type { UnreadArrays } from '../io/stored.ts'
import { E, pipe, TE, t } from '../prelude.ts'

/** The files of one component of a diffusers folder: whole or in shards, safetensors or torch, of a variant or not. */

/** JSON of a file. Errors: `file`. */
export const readJson = (path: string): Effect<unknown> =>
  pipe(
    readBytes(path),
    TE.flatMapEither((bytes) =>
      E.tryCatch(
        (): unknown => JSON.parse(new TextDecoder().decode(bytes)),
        (reason): Errors => [failure('file', path, 'JSON', reasonOf(reason))],
      ),
    ),
  )

/** Names of what lies in a folder. Errors: `file`. */
export const namesIn = (folder: string): Effect<readonly string[]> =>
  fileEffect(folder, 'a folder', () => readdir(folder))

const stems = ['diffusion_pytorch_model', 'model', 'pytorch_model'] as const
const formats = ['safetensors', 'bin'] as const

/** A component's files that could be read, the best first: without a variant before others, safetensors before torch. */
const candidates = (names: readonly string[], variant: string | undefined): readonly string[] => {
  const variants = [
    ...new Set(
      names.flatMap((name) => {
        const found =
          /^(?:diffusion_pytorch_model|model|pytorch_model)\.(\w+?)(?:-\d+-of-\d+)?\.(?:safetensors|bin)$/.exec(name)
        const indexed = /\.index\.(\w+)\.json$/.exec(name)
        return [found?.[1], indexed?.[1]].flatMap((v) => (v === undefined || v === 'index' ? [] : [v]))
      }),
    ),
  ].sort()
  const order = variant === undefined ? [undefined, ...variants] : [variant]
  return order.flatMap((v) =>
    formats.flatMap((format) =>
      stems.flatMap((stem) => [
        v === undefined ? `${stem}.${format}` : `${stem}.${v}.${format}`,
        v === undefined ? `${stem}.${format}.index.json` : `${stem}.${format}.index.${v}.json`,
      ]),
    ),
  )
}

const Index = t.type({ weight_map: t.record(t.string, t.string) })

/** The files that a component's arrays lie in. Errors (`file`): none that is known. */
const filesOf = (folder: string, variant: string | undefined): Effect<readonly string[]> =>
  effect(async (run) => {
    const names = await run(namesIn(folder))
    const chosen = candidates(names, variant).find((name) => names.includes(name))
    if (chosen === undefined)
      return run(
        TE.fromEither(
          fail(
            'file',
            folder,
            `${stems.map((stem) => `${stem}.safetensors`).join(', ')}, or .bin${variant === undefined ? '' : `, of the variant ${variant}`}`,
            names.join(', ') || 'nothing',
          ),
        ),
      )
    if (!chosen.endsWith('.json')) return [join(folder, chosen)]
    const index = await run(readJson(join(folder, chosen)))
    if (!Index.is(index))
      return run(TE.fromEither(fail('file', join(folder, chosen), 'an object with weight_map', 'another')))
    const shards = [...new Set(Object.values(index.weight_map))].sort()
    const astray = shards.find((name) => name.includes('/') || name.includes('\\'))
    return astray === undefined
      ? shards.map((name) => join(folder, name))
      : run(TE.fromEither(fail('file', join(folder, chosen), 'names of files beside it', JSON.stringify(astray))))
  })

/** Opens several files for as long as `use` takes: their arrays together. Errors: `file`, an array that two of them hold. */
const together = <A>(paths: readonly string[], use: (arrays: UnreadArrays) => Effect<A>): Effect<A> => {
  const from = (at: number, before: UnreadArrays): Effect<A> => {
    const path = paths[at]
    return path === undefined
      ? use(before)
      : withCheckpointFile(path, {}, ({ arrays }) => {
          const twice = Object.keys(arrays).find((name) => Object.hasOwn(before, name))
          return twice === undefined
            ? from(at + 1, { ...before, ...arrays })
            : TE.left([failure('file', path, 'arrays that no other file of the model holds', twice)])
        })
  }
  return from(0, {})
}

/** Opens a component for as long as `use` takes. Errors: `file`. */
export const withComponent = <A>(
  folder: string,
  variant: string | undefined,
  use: (arrays: UnreadArrays) => Effect<A>,
): Effect<A> =>
  pipe(
    filesOf(folder, variant),
    TE.flatMap((paths) => together(paths, use)),
  )
