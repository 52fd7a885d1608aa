import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { recordPath } from '../execute/native/recorded.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { fileEffect } from '../io/bytes.ts'

export const makeFolder = (path: string): Effect<unknown> =>
  fileEffect(path, 'a folder that can be made', () => mkdir(path, { recursive: true }))

/** Writes down what was set up or measured of an engine, for the processes that come after. Errors: `io`. */
export const written = (engine: string, content: object): Effect<void> =>
  effect(async (run) => {
    await run(makeFolder(dirname(recordPath(engine))))
    await run(writeFileAtomic(recordPath(engine), new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`)))
  })
