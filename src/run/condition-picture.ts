import { readLabelMap } from '../data/labels.ts'
import { type Effect, effect, fail, failure } from '../error.ts'
import type { Conditioner, PictureCondition } from '../experiment/conditioning.ts'
import { decodePicture } from '../io/images.ts'
import { ofByte } from '../io/pictures.ts'
import { TE } from '../prelude.ts'
import { bytesOf, pictureAt } from './picture-bytes.ts'
import { nameOf, type PictureSource } from './picture-source.ts'
import type { Condition, ConditionOptions, FromOptions } from './reads.ts'
import { readMask } from './sample-from.ts'

/** What is asked with a picture as a condition. */

export const lowResolutionOption = '--low-resolution'

export const labelMapOption = '--label-map'

export const hintOption = '--hint'

interface Read {
  readonly picture: Float32Array
  readonly note?: string
  readonly rest: FromOptions
}

const taken = (
  source: PictureSource,
  { width, height }: { readonly width: number; readonly height: number },
  side: number,
) =>
  width === side && height === side
    ? {}
    : {
        note: `${nameOf(source)}: ${width}x${height} pixels, taken as ${side}x${side}${width === height ? '' : ', the middle square'}`,
      }

const asked: {
  readonly [A in PictureCondition['asks']]: (condition: PictureCondition, o: ConditionOptions) => Effect<Read>
} = {
  'low resolution': ({ shape: [channels = 0, side = 0], name }, { lowResolution: path, ...rest }) =>
    effect(async (run) => {
      const expected = `a picture of ${side}x${side} pixels: the model draws by its ${name}`
      if (path === undefined) return run(TE.left([failure('usage', lowResolutionOption, expected, 'nothing')]))
      const { colours, facts } = await run(
        decodePicture(nameOf(path), await run(bytesOf(path)), { size: side, kernel: 'cubic' }),
      )
      return colours.length === channels * side * side
        ? { picture: Float32Array.from(colours, ofByte), rest, ...taken(path, facts, side) }
        : run(TE.left([failure('usage', lowResolutionOption, `pictures of ${channels} channels`, nameOf(path))]))
    }),
  'label map': ({ shape: [, side = 0], maps }, { labelMap: path, ...rest }) =>
    effect(async (run) => {
      const labels = maps?.labels ?? 0
      const expected = `a picture whose grey values below ${labels} are the labels of pixels: the model draws by it`
      if (path === undefined) return run(TE.left([failure('usage', labelMapOption, expected, 'nothing')]))
      const { map, facts } = await run(readLabelMap(nameOf(path), { size: side, labels }, bytesOf(path)))
      return { picture: Float32Array.from(map), rest, ...taken(path, facts, side) }
    }),
  hint: ({ shape: [, side = 0] }, { hint: path, ...rest }) =>
    effect(async (run) => {
      const expected = `a picture of ${side}x${side} pixels, which the model is to follow`
      if (path === undefined) return run(TE.left([failure('usage', hintOption, expected, 'nothing')]))
      const { colours, facts } = await run(
        decodePicture(nameOf(path), await run(bytesOf(path)), { size: side, kernel: 'cubic' }),
      )
      return { picture: Float32Array.from(colours, (byte) => byte / 255), rest, ...taken(path, facts, side) }
    }),
  mask: ({ shape: [channels = 0, side = 0] }, { from, mask, ...rest }) =>
    effect(async (run) => {
      if (from === undefined || mask === undefined)
        return run(
          TE.left([
            failure(
              'usage',
              from === undefined ? '--from' : '--mask',
              'a picture, and a mask that is white where it is drawn anew: the model fills in what is missing',
              'nothing',
            ),
          ]),
        )
      const read = await run(pictureAt(from, side))
      const missing = (await run(readMask({ picture: pictureAt }, mask, side, read))).map((x) => (x >= 0.5 ? 1 : 0))
      const whole = read.picture.data
      if (whole.length !== (channels - 1) * side * side)
        return run(TE.left([failure('usage', '--from', `pictures of ${channels - 1} channels`, nameOf(from))]))
      const picture = new Float32Array(whole.length + missing.length)
      picture.set(whole.map((x, i) => (missing[i % missing.length] === 1 ? 0 : x)))
      picture.set(missing, whole.length)
      return { picture, rest: rest.strength === undefined ? rest : { ...rest, from }, ...taken(from, read, side) }
    }),
}

/** As `Reads.condition` says, of files. */
export const conditionOf = (
  { pictures: condition }: Conditioner,
  options: ConditionOptions,
  count: number,
): Effect<Condition> =>
  effect(async (run) => {
    const { lowResolution, labelMap, hint, ...rest } = options
    const alone = [
      [lowResolutionOption, lowResolution, 'low resolution'],
      [labelMapOption, labelMap, 'label map'],
      [hintOption, hint, 'hint'],
    ] as const
    for (const [option, given, what] of alone)
      if (given !== undefined && condition?.asks !== what)
        return run(TE.fromEither(fail('usage', option, `none: the model does not draw by a ${what}`, nameOf(given))))
    if (condition === undefined) return { rest }
    const { picture, ...read } = await run(asked[condition.asks](condition, options))
    return {
      ...read,
      pictures: Float32Array.from({ length: count * picture.length }, (_, i) => picture[i % picture.length] ?? 0),
    }
  })
