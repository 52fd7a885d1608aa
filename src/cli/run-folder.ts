import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { TE } from '../prelude.ts'

/** A folder that a training run was written to has the experiment in it. */
const holdsRun = (dir: string): Promise<boolean> =>
  stat(join(dir, 'experiment.json')).then(
    () => true,
    () => false,
  )

const numbered = (base: string, n: number): string => (n === 1 ? base : `${base}-${n}`)

/** `runs/emoji`, `runs/emoji-2`, ...: how many of them hold a run. */
const runsOf = async (base: string, n = 1): Promise<number> =>
  (await holdsRun(numbered(base, n))) ? runsOf(base, n + 1) : n - 1

export interface FolderOptions {
  /** The experiment's file. */
  readonly file: string
  /** Asked for by name. */
  readonly out?: string | undefined
  readonly resume: boolean
}

/**
 * Where a run is written. No run is written over: a new one gets a new folder, `resume` the newest there is. Errors
 * (`usage`): a folder that holds a run already, nothing to resume.
 */
export const runFolder = ({ file, out, resume }: FolderOptions): Effect<string> =>
  effect(async (run) => {
    const base = join('runs', basename(file).replace(/\.json$/i, ''))
    const found = out === undefined ? await runsOf(base) : Number(await holdsRun(out))
    if (resume && found === 0)
      return run(TE.left([failure('usage', '--resume', 'a run to go on with', `none in ${out ?? base}`)]))
    if (!resume && found > 0 && out !== undefined)
      return run(
        TE.left([
          failure(
            'usage',
            '--out',
            'a folder without a run',
            out,
            'go on with it by --resume, or choose another folder',
          ),
        ]),
      )
    return out ?? numbered(base, resume ? found : found + 1)
  })
