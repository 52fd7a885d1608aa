import { E, type Task } from '../../prelude.ts'
import type { Found } from '../decide.ts'
import { type Backend, load } from './installed.ts'

/** Whether a backend is there, and what it runs on, or why it is not and what to install. */
export const look =
  (name: Backend): Task<Found & { readonly gpu: boolean }> =>
  async () => {
    const found = await load(name)()
    if (E.isRight(found))
      return { usable: true, what: `${found.right.engine} on ${found.right.description}`, gpu: found.right.gpu }
    const [{ got, hint }] = found.left
    const [line = ''] = got.split('\n')
    return { usable: false, what: hint === undefined ? line : `${line} (${hint})`, gpu: false }
  }
/** The same, of a backend that counts only where it runs on a GPU that is one. */
export const lookForGpu =
  (name: Backend): Task<Found> =>
  async () => {
    const { usable, what, gpu } = await look(name)()
    return { usable: usable && gpu, what: usable && !gpu ? `${what}, which is no GPU` : what }
  }
