import { join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import { pictureHead } from '../io/images.ts'
import { byCodePoint } from '../io/names.ts'
import { severally } from './decode.ts'
import { listFolder } from './folder.ts'

/** What a folder of pictures is, by the heads of its files. */
export interface Survey {
  readonly n: number
  /** In order of their names, with how many pictures each has. */
  readonly classes: readonly (readonly [name: string, pictures: number])[]
  /** Pictures of no class. */
  readonly classless: number
  /** Of the pictures that have one, in their order. */
  readonly captions: readonly string[]
  /** Pixels of the shorter sides, in ascending order. */
  readonly shorter: readonly number[]
  /** Pixels of the longer sides, in ascending order. */
  readonly longer: readonly number[]
}

const ascending = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b)

/**
 * Looks at the pictures of a folder, as `loadFolder` would load them. Errors: `data`, no pictures, or a malformed list of them; `file`, one
 * for each picture whose head cannot be read.
 */
export const surveyFolder = (dir: string): Effect<Survey> =>
  effect(async (run) => {
    const { listed } = await run(listFolder(dir))
    const heads = await run(
      severally(listed, ({ file }) =>
        effect(async (go) => {
          const path = join(dir, file)
          return go(pictureHead(path, await go(readBytes(path))))
        }),
      ),
    )
    const named = listed.flatMap((one) => one.class ?? [])
    const classes = [...new Set(named)].sort(byCodePoint)
    return {
      n: listed.length,
      classes: classes.map((name) => [name, named.filter((other) => other === name).length] as const),
      classless: listed.length - named.length,
      captions: listed.flatMap(({ text }) => (text === undefined || text.trim() === '' ? [] : [text])),
      shorter: ascending(heads.map(({ width, height }) => Math.min(width, height))),
      longer: ascending(heads.map(({ width, height }) => Math.max(width, height))),
    }
  })
