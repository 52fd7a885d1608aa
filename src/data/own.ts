import { type Effect, effect, failure } from '../error.ts'
import { sha256 } from '../io/bytes.ts'
import { decodePicture, encodePng } from '../io/images.ts'
import { checkPicture, type Picture } from '../io/pictures.ts'
import { TE } from '../prelude.ts'
import type { About, Found } from './dataset.ts'
import { colours, held } from './held.ts'

/** A picture that a program gives, and what is known of it. */
export interface OwnPicture extends Partial<Pick<About, 'class' | 'caption' | 'vector' | 'boxes' | 'group'>> {
  readonly picture: Picture
  /** Its number where left out. */
  readonly name?: string
}

/** The pictures of a program at a size, in memory. Errors (`data`): what is no picture, at its place; classes of some alone. */
export const findOwn = (pictures: readonly OwnPicture[], size: number): Effect<Found> =>
  effect(async (run) => {
    const each = 3 * size * size
    const classes = [...new Set(pictures.flatMap((one) => one.class ?? []))].toSorted()
    const without = pictures.findIndex((one) => one.class === undefined)
    if (classes.length > 0 && without >= 0)
      return run(TE.left([failure('data', `/data/${without}`, 'a class, as others have one', 'none')]))
    const load = effect(async (go) => {
      const bytes = new Uint8Array(pictures.length * each)
      const about: About[] = []
      for (const [i, { picture, name = `picture ${i + 1}`, ...known }] of pictures.entries()) {
        const whole = await go(TE.fromEither(checkPicture(picture, `/data/${i}`)))
        const { colours: planes } = await go(decodePicture(`/data/${i}`, await go(encodePng(whole)), { size }))
        bytes.set(planes, i * each)
        about.push({ ...known, name, bytes: whole.data.length, sha256: sha256(whole.data) })
      }
      return held({ about, encoding: colours, pictures: bytes, height: size, width: size, classes, notes: [] })
    })
    return { n: pictures.length, classes, bytes: pictures.length * each, load }
  })
