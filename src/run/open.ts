import { type Effect, effect, fail } from '../error.ts'
import { isPublishedRun } from '../pipelines/run-files.ts'
import { pipe, TE } from '../prelude.ts'
import { fromFiles } from './from-files.ts'
import { heldRun } from './held-run.ts'
import type { Opened } from './opened.ts'
import { openedOf } from './own.ts'
import { openPublished } from './published.ts'
import type { Equipment } from './published-equipment.ts'
import { openRun, type WeightOptions } from './trained-run.ts'

export interface OpenOptions extends WeightOptions, Equipment {}

/** Opens the folder of a run, one's own or a published model's. Errors: `usage`, no run there; `file`, `config`, `training`, `data`. */
export const openFolder = (dir: string, options: OpenOptions = {}): Effect<Opened> =>
  effect(async (run) => {
    await run(heldRun(dir))
    if (!(await isPublishedRun(dir)))
      return run(
        pipe(
          openRun(dir, options),
          TE.map((trained) => openedOf(fromFiles, trained)),
        ),
      )
    const { checkpoint, ema, definition: _, ...equipment } = options
    return checkpoint === undefined && ema === undefined
      ? run(openPublished(dir, equipment))
      : run(
          TE.fromEither(
            fail('usage', ema === undefined ? '--checkpoint' : '--ema', "a run of one's own", 'a published model'),
          ),
        )
  })

/** The same for as long as `use` takes. */
export const withOpened = <A>(dir: string, options: OpenOptions, use: (opened: Opened) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const opened = await run(openFolder(dir, options))
    try {
      return await run(use(opened))
    } finally {
      await opened.dispose()
    }
  })
