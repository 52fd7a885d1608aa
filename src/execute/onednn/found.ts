import type { Effect } from '../../error.ts'
import { E, pipe, type Task, TE } from '../../prelude.ts'
import type { Found } from '../decide.ts'
import { costsFor } from './costs.ts'
import { halfPrecisions, saysHalves } from './half.ts'
import { library } from './load.ts'

/** What it makes of half precision on this processor. */
export const halvesOfLibrary: Effect<string> = pipe(
  library,
  TE.map((found) => saysHalves(halfPrecisions(found, costsFor(found)))),
)

/** Whether oneDNN is there, and which, or why it is not and how to get it. */
export const lookForLibrary: Task<Found> = async () => {
  const found = await library()
  if (E.isRight(found)) return { usable: true, what: `oneDNN ${found.right.version}, ${found.right.path}` }
  const [{ at, got, hint }] = found.left
  const place = at === 'onednn' ? '' : `${at}: `
  return { usable: false, what: `${place}${got}${hint === undefined ? '' : ` (${hint})`}` }
}
