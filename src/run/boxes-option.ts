import {
  type Box,
  type BoxClasses,
  type BoxItem,
  boxesFrom,
  boxItems,
  boxItemsOfText,
  saysBoxes,
} from '../data/boxes.ts'
import { type Effect, effect } from '../error.ts'
import { readJson } from '../pipelines/component-files.ts'
import { pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { boxesOption } from './option-names.ts'

/** Boxes as `sample` is given them: written down, or a file of JSON. */

/** Errors: `data`, a box that is none; `file`. */
export const readBoxItems = (given: string): Effect<readonly BoxItem[]> =>
  effect(async (run) =>
    saysBoxes(given)
      ? run(TE.fromEither(boxItemsOfText(given, boxesOption)))
      : run(TE.fromEither(decode(boxItems, { tag: 'data', base: given })(await run(readJson(given))))),
  )

/** The same with the numbers of their classes. */
export const readBoxes = (given: string, classes: BoxClasses): Effect<readonly Box[]> =>
  pipe(
    readBoxItems(given),
    TE.flatMapEither((items) => boxesFrom(items, classes, saysBoxes(given) ? boxesOption : given)),
  )
