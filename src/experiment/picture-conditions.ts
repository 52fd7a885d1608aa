import { randomMask } from '../data/masks.ts'
import { bicubic, enlarged } from '../data/resample.ts'
import { concat, input, type Tensor } from '../declare/index.ts'
import { scaleFactor, scaleLatents } from '../diffusion/index.ts'
import { floats } from '../execute/executor.ts'
import { float, type Shape, size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { type Conditioner, conditioningLeaves, type Space, type Told, unconditional } from './conditioner.ts'
import { setting, unless } from './problems.ts'

/** Pictures as conditions, as channels beside x_t. */

const side = (shape: Shape): number => shape[1] ?? 0

export const superResolution = ({ factor }: { readonly factor: number }, { latent, picture }: Space): Conditioner => {
  const [channels = 0, whole = 0] = picture
  const low = whole / factor
  const at = '/diffusion/conditioning/factor'
  const given = (batch: number): Told => ({
    beside: input(conditioningLeaves.beside, float(batch, channels, side(latent), side(latent))),
  })
  const fits = (f: number): boolean => whole % f === 0 && side(latent) % (whole / f) === 0
  const other = Array.from({ length: 63 }, (_, i) => i + 2).find(fits)
  return {
    ...unconditional,
    channels,
    given,
    trained: given,
    feeds: ({ pictures = new Float32Array() }) => {
      const beside = bicubic(pictures, low, side(latent))
      const shape = [beside.length / (channels * side(latent) ** 2), channels, side(latent), side(latent)]
      return { [conditioningLeaves.beside]: floats(shape, beside) }
    },
    pictures: {
      asks: 'low resolution',
      name: 'low resolution',
      shape: [channels, low, low],
      of: ({ pictures }) => bicubic(pictures, whole, low),
      shown: (conditions) => enlarged(conditions, low, whole),
      baseline: (conditions) => bicubic(conditions, low, whole),
    },
    rules: unless(
      fits(factor),
      at,
      `a divisor of ${whole}, the size of the pictures, by which they are no larger than the latents, and divide these`,
      factor,
      other === undefined ? undefined : setting({ [at]: other }),
    ),
  }
}

/** How published networks lay out what they are told, behind x_t. */
interface Layout {
  /** What stands for pixels that are missing. */
  readonly hole: number
  /** What the mask is where pixels are there, and where they are missing. */
  readonly mask: readonly [there: number, missing: number]
  readonly first: 'mask' | 'picture'
  /** Whether latents of the picture are scaled as x_t's are. */
  readonly scaled: boolean
}
export const inpaintingLayouts = ['stable-diffusion', 'latent-diffusion'] as const
type LayoutName = (typeof inpaintingLayouts)[number]
const layouts: { readonly [L in LayoutName]: Layout } = {
  /** The mask, then the picture: the nine channels of `sd-v1-5-inpainting`. */
  'stable-diffusion': { hole: 0, mask: [0, 1], first: 'mask', scaled: true },
  /** The picture, then the mask: `inpainting_big` of latent diffusion, scripts/inpaint.py. */
  'latent-diffusion': { hole: -1, mask: [-1, 1], first: 'picture', scaled: false },
}

/** Rows of `each` numbers, each put together from its own parts. */
const rowsFrom = (rows: number, parts: (row: number) => readonly Float32Array[]): Float32Array => {
  const each = rows === 0 ? 0 : parts(0).reduce((n, part) => n + part.length, 0)
  const out = new Float32Array(rows * each)
  for (let row = 0; row < rows; row++) {
    let at = row * each
    for (const part of parts(row)) {
      out.set(part, at)
      at += part.length
    }
  }
  return out
}

/** Of each latent the pixel at its corner: `F.interpolate(mask, size)`, nearest. */
const nearest = (mask: Float32Array, from: number, to: number): Float32Array =>
  Float32Array.from({ length: to * to }, (_, i) => {
    const [y, x] = [Math.floor(i / to), i % to].map((at) => Math.floor((at * from) / to))
    return mask[(y ?? 0) * from + (x ?? 0)] ?? 0
  })

/**
 * A condition is a picture, with 0 where it is missing, and behind it the mask, 1 there. On latents the picture goes through the
 * first stage, which is not trained, and the mask is as large as they are: `LatentInpaintDiffusion` of Stable Diffusion, whose latents
 * are scaled, and scripts/inpaint.py of latent diffusion, whose are not. Where these draw from a posterior, its mode is taken.
 */
export const inpainting = (
  { layout }: { readonly layout: LayoutName },
  { latent, picture, encode }: Space,
): Conditioner => {
  const { hole, mask: grey, first, scaled } = layouts[layout]
  const [[channels = 0, height = 0], [width = 0, latentHeight = 0]] = [picture, latent]
  const [plane, pixels] = [height * height, size(picture)]
  const each = pixels + plane
  const partsOf = (conditions: Float32Array, row: number) => ({
    known: conditions.subarray(row * each, row * each + pixels),
    mask: conditions.subarray(row * each + pixels, (row + 1) * each),
  })
  /** Known pixels, and `other` where they are missing. */
  const filled = (conditions: Float32Array, other: (i: number, row: number) => number): Float32Array =>
    rowsFrom(conditions.length / each, (row) => {
      const { known, mask } = partsOf(conditions, row)
      return [known.map((x, i) => (mask[i % plane] === 1 ? other(i, row) : x))]
    })
  const shade = (mask: Float32Array): Float32Array => mask.map((x) => grey[x === 1 ? 1 : 0])
  const beside = (batch: number): Told => ({
    beside: input(conditioningLeaves.beside, float(batch, width + 1, latentHeight, latentHeight)),
  })
  const pixelwise: Pick<Conditioner, 'given' | 'trained' | 'feeds'> = {
    given: beside,
    trained: beside,
    feeds: ({ pictures = new Float32Array() }) => {
      const shown = filled(pictures, () => hole)
      const n = pictures.length / each
      const rows = rowsFrom(n, (row) => {
        const part = shown.subarray(row * pixels, (row + 1) * pixels)
        const mask = shade(partsOf(pictures, row).mask)
        return first === 'mask' ? [mask, part] : [part, mask]
      })
      return { [conditioningLeaves.beside]: floats([n, channels + 1, height, height], rows) }
    },
  }
  const through = (encoder: NonNullable<Space['encode']>): typeof pixelwise & Pick<Conditioner, 'ahead' | 'walked'> => {
    const told = (batch: number, scale = scaleFactor('')): { readonly beside: Tensor } => {
      const mask = input(conditioningLeaves.mask, float(batch, 1, latentHeight, latentHeight))
      const latents = pipe(input(conditioningLeaves.masked, float(batch, ...picture)), encoder)
      const known = scaled ? pipe(latents, scaleLatents(scale)) : latents
      return { beside: first === 'mask' ? concat(1, mask, known) : concat(1, known, mask) }
    }
    return {
      given: told,
      trained: told,
      ahead: (batch) => ({ [conditioningLeaves.beside]: told(batch).beside }),
      walked: beside,
      feeds: ({ pictures = new Float32Array() }) => {
        const n = pictures.length / each
        const masks = rowsFrom(n, (row) => [shade(nearest(partsOf(pictures, row).mask, height, latentHeight))])
        return {
          [conditioningLeaves.masked]: floats(
            [n, ...picture],
            filled(pictures, () => hole),
          ),
          [conditioningLeaves.mask]: floats([n, 1, latentHeight, latentHeight], masks),
        }
      },
    }
  }
  return {
    ...unconditional,
    channels: width + 1,
    ...(encode === undefined ? pixelwise : through(encode)),
    pictures: {
      asks: 'mask',
      name: 'what is known',
      shape: [channels + 1, height, height],
      of: ({ pictures }, random) =>
        rowsFrom(pictures.length / pixels, (row) => {
          const mask = randomMask(height, random(row))
          const whole = pictures.subarray(row * pixels, (row + 1) * pixels)
          return [whole.map((x, i) => (mask[i % plane] === 1 ? 0 : x)), mask]
        }),
      shown: (conditions) => filled(conditions, () => 0),
      finish: (drawn, conditions) => filled(conditions, (i, row) => drawn[row * pixels + i] ?? 0),
    },
  }
}
