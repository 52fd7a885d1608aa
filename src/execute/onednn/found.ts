import { E, type Task } from '../../prelude.ts'
import type { Found } from '../decide.ts'
import { library } from './load.ts'

/** Whether oneDNN is there, and which, or why it is not and how to get it. */
export const lookForLibrary: Task<Found> = async () => {
  const found = await library()
  if (E.isRight(found)) return { usable: true, what: `oneDNN ${found.right.version}, ${found.right.path}` }
  const [{ at, got, hint }] = found.left
  const place = at === 'onednn' ? '' : `${at}: `
  return { usable: false, what: `${place}${got}${hint === undefined ? '' : ` (${hint})`}` }
}
