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

/** A file that arrays are found by. */
interface Candidate {
  readonly name: string
  readonly variant: string | undefined
}

/** A component's files that could be read, the best first: those of the variant, then those of none; safetensors before torch. */
const candidates = (names: readonly string[], variant: string | undefined): readonly Candidate[] => {
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
  const order = variant === undefined ? [undefined, ...variants] : [variant, undefined]
  return order.flatMap((v) =>
    formats.flatMap((format) =>
      stems
        .flatMap((stem) => [
          v === undefined ? `${stem}.${format}` : `${stem}.${v}.${format}`,
          v === undefined ? `${stem}.${format}.index.json` : `${stem}.${format}.index.${v}.json`,
        ])
        .map((name) => ({ name, variant: v })),
    ),
  )
}

const Index = t.type({ weight_map: t.record(t.string, t.string) })

/** The files that a component's arrays lie in, and the variant that they are of. Errors (`file`): none that is known. */
const filesOf = (
  folder: string,
  asked: string | undefined,
): Effect<{ readonly paths: readonly string[]; readonly variant: string | undefined }> =>
  effect(async (run) => {
    const names = await run(namesIn(folder))
    const found = candidates(names, asked).find(({ name }) => names.includes(name))
    if (found === undefined)
      return run(
        TE.fromEither(
          fail(
            'file',
            folder,
            `${stems.map((stem) => `${stem}.safetensors`).join(', ')}, or .bin${asked === undefined ? '' : `, of the variant ${asked} or of none`}`,
            names.join(', ') || 'nothing',
          ),
        ),
      )
    const { name: chosen, variant } = found
    if (!chosen.endsWith('.json')) return { variant, paths: [join(folder, chosen)] }
    const index = await run(readJson(join(folder, chosen)))
    if (!Index.is(index))
      return run(TE.fromEither(fail('file', join(folder, chosen), 'an object with weight_map', 'another')))
    const shards = [...new Set(Object.values(index.weight_map))].sort()
    const astray = shards.find((name) => name.includes('/') || name.includes('\\'))
    return astray === undefined
      ? { variant, paths: shards.map((name) => join(folder, name)) }
      : run(TE.fromEither(fail('file', join(folder, chosen), 'names of files beside it', JSON.stringify(astray))))
  })

/** Arrays of a component, while its files are open. */
export interface OpenComponent {
  readonly arrays: UnreadArrays
  /** That its files are of. */
  readonly variant: string | undefined
  /** What was chosen, for people. */
  readonly remarks: readonly string[]
}

/** Opens several files for as long as `use` takes: their arrays together. Errors: `file`, an array that two of them hold. */
const together = <A>(paths: readonly string[], use: (open: Omit<OpenComponent, 'variant'>) => Effect<A>): Effect<A> => {
  const from = (at: number, before: Omit<OpenComponent, 'variant'>): Effect<A> => {
    const path = paths[at]
    return path === undefined
      ? use(before)
      : withCheckpointFile(path, {}, ({ arrays, remarks }) => {
          const twice = Object.keys(arrays).find((name) => Object.hasOwn(before.arrays, name))
          return twice === undefined
            ? from(at + 1, {
                arrays: { ...before.arrays, ...arrays },
                remarks: [...before.remarks, ...remarks.map((remark) => `${path}: ${remark}`)],
              })
            : TE.left([failure('file', path, 'arrays that no other file of the model holds', twice)])
        })
  }
  return from(0, { arrays: {}, remarks: [] })
}

/** Opens a component for as long as `use` takes: its files of the variant, or where there are none, of no variant. Errors: `file`. */
export const withComponent = <A>(
  folder: string,
  asked: string | undefined,
  use: (open: OpenComponent) => Effect<A>,
): Effect<A> =>
  pipe(
    filesOf(folder, asked),
    TE.flatMap(({ paths, variant }) => together(paths, (open) => use({ ...open, variant }))),
  )
