import { type Box, type BoxClasses, boxesOf, boxesOfText, saysBoxes } from '../data/boxes.ts'
import { type Effect, effect } from '../error.ts'
import { readJson } from '../pipelines/component-files.ts'
import { TE } from '../prelude.ts'

/** Boxes as `sample` is given them: written down, or a file of JSON. */

export const boxesOption = '--boxes'

/** Errors: `data`, a box that is none; `file`. */
export const readBoxes = (given: string, classes: BoxClasses): Effect<readonly Box[]> =>
  effect(async (run) =>
    saysBoxes(given)
      ? run(TE.fromEither(boxesOfText(given, classes, boxesOption)))
      : run(TE.fromEither(boxesOf(await run(readJson(given)), classes, given))),
  )
