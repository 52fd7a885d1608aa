import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Effect, effect, failure, type LatentError } from '../error.ts'
import { hasOwner, type Owned, owning, owningNew } from '../io/owner.ts'
import { TE } from '../prelude.ts'

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** What training writes first, and what it writes last; either tells of a run. */
const marks = ['experiment.json', 'model.json', 'first-stage', 'diffusion'] as const
const markOf = async (dir: string): Promise<string | undefined> => {
  for (const mark of marks) if (await exists(join(dir, mark))) return mark
  return undefined
}

/** A folder that a run was begun in: it has the experiment, or an owner that was ended before it wrote that. */
const holdsRun = async (dir: string): Promise<boolean> => (await exists(join(dir, marks[0]))) || hasOwner(dir)

const numbered =
  (base: string) =>
  (n: number): string =>
    n === 1 ? base : `${base}-${n}`

/** The newest of `runs/emoji`, `runs/emoji-2`, ... that holds a run. */
const newestOf = async (base: string): Promise<string | undefined> => {
  const numbers = (await readdir(dirname(base)).catch(() => [])).flatMap((name) => {
    const rest = name.startsWith(basename(base)) ? name.slice(basename(base).length) : '?'
    return rest === '' ? 1 : /^-\d+$/.test(rest) ? Number(rest.slice(1)) : []
  })
  for (const n of numbers.toSorted((a, b) => b - a)) {
    const dir = numbered(base)(n)
    if (await holdsRun(dir)) return dir
  }
  return undefined
}

export interface FolderOptions {
  /** The experiment's file. */
  readonly file: string
  /** Asked for by name. */
  readonly out?: string | undefined
  readonly resume: boolean
}

const nothing = (where: string): LatentError =>
  failure('usage', '--resume', 'a run to go on with', `none in ${where}`, 'without --resume a new one begins')

/** The run to go on with. Errors (`usage`): none. */
const found = (base: string, out: string | undefined): Effect<string> =>
  effect(async (run) => {
    const dir = out === undefined ? await newestOf(base) : (await holdsRun(out)) ? out : undefined
    return dir ?? run(TE.left([nothing(out ?? base)]))
  })

/** A folder that is not a run's, though it may hold other things. */
const vacant = ({ dir }: Owned): Effect<void> =>
  effect(async (run) => {
    const mark = await markOf(dir)
    if (mark === undefined) return
    const hint = mark === marks[0] ? 'go on with it by --resume, or choose another folder' : 'choose another folder'
    await run(TE.left([failure('usage', '--out', 'a folder without a run', `${dir} with ${mark}`, hint)]))
  })

/**
 * Owns the folder that a run is written to while `body` runs. No run is written over: a new one gets a new folder, `resume` the
 * newest there is. Errors: `usage`, a folder that holds a run already, nothing to resume; `file`, another process that works in
 * the folder.
 */
export const inRunFolder = <A>({ file, out, resume }: FolderOptions, body: (owned: Owned) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const base = join('runs', basename(file).replace(/\.json$/i, ''))
    if (resume) return run(owning(await run(found(base, out)), body))
    if (out === undefined) return run(owningNew(numbered(base), body))
    return run(
      owning(out, (owned) =>
        effect(async (go) => {
          await go(vacant(owned))
          return go(body(owned))
        }),
      ),
    )
  })
