import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { asArgument } from '../io/names.ts'
import { TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'

/** Whether there is a run where a command is told of one. */

/** The document of a run that was trained here, and that of a published model. */
const documents = { trained: 'experiment.json', published: 'model.json' } as const

const namesIn = (folder: string): Promise<readonly string[] | undefined> =>
  readdir(folder).then(
    (names) => names.toSorted(),
    () => undefined,
  )
const holds = (names: readonly string[] | undefined): boolean =>
  Object.values(documents).some((document) => names?.includes(document) === true)

/** Runs among the folders of one. */
const runsIn = async (folder: string): Promise<readonly string[]> => {
  const found: string[] = []
  for (const name of (await namesIn(folder)) ?? []) {
    const path = join(folder, name)
    if (holds(await namesIn(path))) found.push(path)
  }
  return found
}

const mostNamed = 8
/** What there is instead. */
const hintOf = async (dir: string, names: readonly string[] | undefined): Promise<string | undefined> => {
  const isModel = names?.includes('model_index.json') ?? (await stat(dir).catch(() => undefined))?.isFile() === true
  if (isModel) return `a model is made a run by npx latentgraph import ${asArgument(dir)}`
  const places = new Set([dirname(dir), 'runs', ...(names === undefined ? [] : [dir])])
  const nearby = (await Promise.all([...places].map(runsIn))).flat()
  if (nearby.length === 0) return undefined
  const meant = didYouMean(
    basename(dir),
    nearby.map((path) => basename(path)),
  )
  const more = nearby.length > mostNamed ? `, and ${nearby.length - mostNamed} more` : ''
  return [`runs nearby: ${nearby.slice(0, mostNamed).map(asArgument).join(', ')}${more}`, meant]
    .filter((text) => text !== undefined)
    .join('; ')
}

/** Whether a folder holds a run. */
export const isHeld = async (dir: string): Promise<boolean> => holds(await namesIn(dir))

/** Nothing of a folder that holds a run. Errors (`usage`): none there, with those that are nearby; one that is not of the kind. */
export const heldRun = (dir: string, kind: 'any' | 'trained' = 'any'): Effect<void> =>
  effect(async (run) => {
    const names = await namesIn(dir)
    const expected = kind === 'any' ? 'the folder of a run' : 'the folder of a run that was trained here'
    if (!holds(names)) {
      const isFile = names === undefined && (await stat(dir).catch(() => undefined)) !== undefined
      const got = isFile
        ? 'a file'
        : names === undefined
          ? 'nothing there'
          : `a folder of ${names.slice(0, mostNamed).join(', ') || 'nothing'}`
      return run(TE.left([failure('usage', dir, expected, got, await hintOf(dir, names))]))
    }
    if (kind === 'trained' && names?.includes(documents.trained) !== true)
      await run(TE.left([failure('usage', dir, expected, 'that of a published model')]))
  })
