import { input } from '../declare/index.ts'
import { floats } from '../execute/executor.ts'
import { float } from '../graph/types.ts'
import {
  type Conditioner,
  conditioningLeaves,
  type LabelMaps,
  type Space,
  type Told,
  unconditional,
} from './conditioner.ts'

/** Label maps as a condition. */

/**
 * The share of each label among the pixels of a latent, [N, labels, side, side]: maps one-hot and halved by bilinear interpolation, as
 * `SpatialRescaler` of ldm/modules/encoders/modules.py does; its 1x1 convolution is a part of the U-Net's first here.
 */
const shares = (maps: Float32Array, labels: number, whole: number, side: number): Float32Array => {
  const [plane, latents, block] = [whole * whole, side * side, whole / side]
  const n = maps.length / plane
  const out = new Float32Array(n * labels * latents)
  const pixel = 1 / block ** 2
  for (let i = 0; i < maps.length; i++) {
    const [row, at] = [Math.floor(i / plane), i % plane]
    const [y, x] = [Math.floor(at / whole / block), Math.floor((at % whole) / block)]
    const place = (row * labels + (maps[i] ?? 0)) * latents + y * side + x
    out[place] = (out[place] ?? 0) + pixel
  }
  return out
}

/** Hues that go round by the golden ratio are apart from each other, however many there are. */
const colourOf = (label: number): readonly [number, number, number] => {
  const hue = (label * 0.618033988749895) % 1
  const channel = (offset: number): number => Math.cos(2 * Math.PI * (hue - offset))
  return [channel(0), channel(1 / 3), channel(2 / 3)]
}

export const labelMap = ({ labels, path }: LabelMaps, { latent, picture }: Space): Conditioner => {
  const [[channels = 0, whole = 0], side = 0] = [picture, latent[1]]
  const plane = whole * whole
  const given = (batch: number): Told => ({
    beside: input(conditioningLeaves.beside, float(batch, labels, side, side)),
  })
  return {
    ...unconditional,
    channels: labels,
    given,
    trained: given,
    feeds: ({ pictures = new Float32Array() }) => ({
      [conditioningLeaves.beside]: floats(
        [pictures.length / plane, labels, side, side],
        shares(pictures, labels, whole, side),
      ),
    }),
    pictures: {
      asks: 'label map',
      name: 'label map',
      shape: [1, whole, whole],
      maps: { path, labels },
      of: ({ maps = new Float32Array() }) => maps,
      shown: (conditions) =>
        Float32Array.from({ length: channels * conditions.length }, (_, i) => {
          const row = Math.floor(i / (channels * plane))
          const label = conditions[row * plane + (i % plane)] ?? 0
          return colourOf(label)[(Math.floor(i / plane) % channels) % 3] ?? 0
        }),
    },
  }
}
