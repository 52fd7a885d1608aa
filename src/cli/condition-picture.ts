import { type Effect, effect, fail, failure } from '../error.ts'
import type { Conditioner } from '../experiment/conditioning.ts'
import { readBytes } from '../io/bytes.ts'
import { decodePicture } from '../io/images.ts'
import { TE } from '../prelude.ts'

/** The option of `sample` that names a picture as a condition. */
export const conditionOption = '--low-resolution'

/** What the model is told of a picture that is a file, `count` times. */
export interface Condition {
  readonly pictures?: Float32Array
  /** What was done to the picture, where it is not as the model takes it. */
  readonly note?: string
}

/**
 * The picture that a model makes its own of, as it is told; nothing for models that are told none. Errors (`usage`): a picture for these,
 * or none for the others; `file`.
 */
export const conditionOf = ({ pictures }: Conditioner, path: string | undefined, count: number): Effect<Condition> =>
  effect(async (run) => {
    if (pictures === undefined)
      return path === undefined
        ? {}
        : run(TE.fromEither(fail('usage', conditionOption, 'no picture: the model is told none', path)))
    const [channels = 0, height = 0, width = 0] = pictures.shape
    const expected = `a picture of ${width}x${height} pixels: the model draws by its ${pictures.name}`
    if (path === undefined) return run(TE.left([failure('usage', conditionOption, expected, 'nothing')]))
    const { colours, facts } = await run(
      decodePicture(path, await run(readBytes(path)), { size: height, kernel: 'cubic' }),
    )
    if (colours.length !== channels * height * width)
      return run(TE.left([failure('usage', conditionOption, `pictures of ${channels} channels`, path)]))
    const one = Float32Array.from(colours, (byte) => byte / 127.5 - 1)
    return {
      pictures: Float32Array.from({ length: count * one.length }, (_, i) => one[i % one.length] ?? 0),
      ...(facts.width === width && facts.height === height
        ? {}
        : {
            note: `${path}: ${facts.width}x${facts.height} pixels, taken as ${width}x${height}${facts.width === facts.height ? '' : ', the middle square'}`,
          }),
    }
  })
