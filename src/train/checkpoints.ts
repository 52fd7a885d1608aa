import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { fileEffect } from '../io/bytes.ts'
import { checkpointName } from '../io/checkpoint.ts'

export const checkpointPath = (stageDir: string, done: number): string =>
  join(stageDir, 'checkpoints', checkpointName(done))

/** Removes all but the newest checkpoints of a stage. */
export const keepLatest = (stageDir: string, count: number): Effect<void> =>
  effect(async (run) => {
    const dir = join(stageDir, 'checkpoints')
    const names = (await run(fileEffect(dir, 'a folder of checkpoints', () => readdir(dir)))).filter((n) =>
      /^step-\d+$/.test(n),
    )
    for (const name of names.toSorted().slice(0, -count))
      await run(
        fileEffect(join(dir, name), 'a checkpoint that can be removed', () => rm(join(dir, name), { recursive: true })),
      )
  })
