import { type Effect, effect, fail } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import { TE } from '../prelude.ts'
import { readBoxItems } from './boxes-option.ts'
import { conditionOf } from './condition-picture.ts'
import { pictureAt } from './picture-bytes.ts'
import type { Reads } from './reads.ts'

/** Prompts of a file, one a line. Errors: `file`; `usage`, none. */
export const promptsOf = (path: string): Effect<readonly string[]> =>
  effect(async (run) => {
    const lines = new TextDecoder().decode(await run(readBytes(path))).split(/\r?\n/)
    const prompts = lines.map((line) => line.trim()).filter((line) => line !== '')
    return prompts.length > 0
      ? prompts
      : run(TE.fromEither(fail('usage', `--prompts ${path}`, 'a prompt a line', 'no line with anything')))
  })

/** What a request names is files, or pictures in memory of any size. */
export const fromFiles: Reads = { picture: pictureAt, prompts: promptsOf, boxes: readBoxItems, condition: conditionOf }
