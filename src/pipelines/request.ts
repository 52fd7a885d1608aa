import type { Box } from '../data/boxes.ts'
import type { Value } from '../execute/executor.ts'
import { floats } from '../execute/executor.ts'
import { type Shape, size } from '../graph/types.ts'
import type { ControlNetConfig } from '../nn/controlnet.ts'
import type { NoiseRequest } from '../samplers/index.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import type { Applied } from './applied.ts'
import type { ControlRequest, ReadControl } from './control.ts'
import type { PipelineDocument } from './document.ts'
import type { Weights } from './weights.ts'

/** What is asked of a published model. */
export interface Request {
  /** Pictures that are drawn together. */
  readonly count: number
  /** Pixels; that of the picture where one is given. */
  readonly height: number
  readonly width: number
  readonly steps: number
  readonly guidance: number
  readonly guidanceRescale: number
  readonly eta: number
  /** How much of a picture is drawn anew. */
  readonly strength: number
  /** Of a picture that is changed by words. */
  readonly pictureGuidance: number
  /** A text for each of the pictures, or for as many as there are texts' shares of them; other ones for a second encoder. */
  readonly prompt?: readonly string[]
  readonly prompt2?: readonly string[]
  /** What guidance leads away from; nothing where left out. */
  readonly negative?: readonly string[]
  readonly negative2?: readonly string[]
  /** Whether brackets in texts are weights on words, and long texts go in chunks. */
  readonly weighs?: boolean
  /** How many of a text encoder's last layers are left out. */
  readonly clipSkip: number
  /** Of the picture that is told of: height and width of the original, top and left of the crop, height and width in the end. */
  readonly sizes?: readonly number[]
  readonly negativeSizes?: readonly number[]
  /** How pleasing a picture is, 0 to 10, and one that guidance leads away from, of a model that is told. */
  readonly aesthetic?: number
  readonly negativeAesthetic?: number
  /** A class for each picture, and the one that stands for none. */
  readonly classes?: readonly number[]
  readonly nothingClass?: number
  /** [1 or count, 3, H, W] in [0, 1]: where drawing begins, or what is changed. */
  readonly picture?: Value
  /** [1 or count, 1, H, W]: 1 where is drawn, 0 what stays. */
  readonly mask?: Value
  /** [1 or count, 1, H, W], of any scale. */
  readonly depth?: Value
  /** Of a ControlNet. */
  readonly control?: ControlRequest
  /** [1 or count, C, h, w] in [-1, 1], as large as the latents. */
  readonly lowResolution?: Value
  /** int32[1 or count, H, W]: the label of each pixel. */
  readonly labelMap?: Value
  /** What is where, in all pictures. */
  readonly boxes?: readonly Box[]
}

/** A published model, ready to draw. */
export interface Pipeline {
  readonly document: PipelineDocument
  readonly weights: Weights
  /** One for each encoder of texts. */
  readonly tokenizers: readonly Tokenizer[]
  /** Of its networks. */
  readonly adapters?: readonly Applied[]
  /** A ControlNet, whose arrays are among the U-Net's. */
  readonly control?: ControlNetConfig
}

/** A model with a ControlNet beside its U-Net. */
export const controlled = (pipeline: Pipeline, { config, arrays }: ReadControl): Pipeline => ({
  ...pipeline,
  control: config,
  weights: { ...pipeline.weights, unet: { ...pipeline.weights.unet, ...arrays } },
})

/** Draws standard normal noise for pictures of these numbers, asked for in the order in which the references draw. */
export type NoiseSource = (request: NoiseRequest, pictures: readonly number[]) => Value
export const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i)
/** Names of what is drawn before the first step. */
export const draws = { start: 'start', posterior: 'posterior', masked: 'posterior.masked' } as const

/** Told of what is computed on the way, by name; of steps once each. */
export type See = (name: string, value: Value) => void

/** Items of [n, ...] by their numbers. */
const items = ({ shape: [, ...rest], data }: Value, numbers: readonly number[]): Value => {
  const each = size(rest)
  const out = new Float32Array(numbers.length * each)
  for (const [k, n] of numbers.entries()) out.set(data.subarray(n * each, (n + 1) * each), k * each)
  return floats([numbers.length, ...rest], out)
}

/** The same item, or as many as there are pictures. */
export const repeated = (of: Value, count: number): Value => {
  const [n = 1] = of.shape
  return n === count
    ? of
    : items(
        of,
        upTo(count).map((i) => i % n),
      )
}

/** Each item so often, its copies after each other, that there are as many as pictures. */
export const repeatedRows = (of: Value, count: number): Value => {
  const [n = 1] = of.shape
  const times = Math.max(1, Math.floor(count / n))
  return times === 1
    ? of
    : items(
        of,
        upTo(n * times).map((i) => Math.floor(i / times)),
      )
}

/** Rows of a batch out of an array that has all pictures, `branches` times after each other; the last stands for those beyond it. */
export const batchOf = (all: Value, branches: number, pictures: readonly number[]): Value => {
  const [rows = 1, ...rest] = all.shape
  const [each, count] = [size(rest), rows / branches]
  const data = new Float32Array(branches * pictures.length * each)
  for (let branch = 0; branch < branches; branch++)
    for (const [k, picture] of pictures.entries()) {
      const from = (branch * count + Math.min(picture, count - 1)) * each
      data.set(all.data.subarray(from, from + each), (branch * pictures.length + k) * each)
    }
  return floats([branches * pictures.length, ...rest], data)
}

/** Arrays after each other on axis 0. */
export const stacked = (parts: readonly Value[]): Value => {
  const [first] = parts
  const rows = parts.reduce((n, { shape }) => n + (shape[0] ?? 0), 0)
  const data = new Float32Array(rows * size(first?.shape.slice(1) ?? []))
  parts.reduce((at, part) => {
    data.set(part.data, at)
    return at + part.data.length
  }, 0)
  return floats([rows, ...(first?.shape.slice(1) ?? [])], data)
}

/** Channels beside each other on axis 1. */
export const joinedChannels = (parts: readonly Value[]): Value => {
  const [first] = parts
  const [n = 0, , ...positions] = first?.shape ?? []
  const channels = parts.map(({ shape }) => shape[1] ?? 0)
  const plane = size(positions)
  const all = channels.reduce((a, b) => a + b, 0)
  const data = new Float32Array(n * all * plane)
  let at = 0
  for (let i = 0; i < n; i++)
    for (const [k, part] of parts.entries()) {
      const length = (channels[k] ?? 0) * plane
      data.set(part.data.subarray(i * length, (i + 1) * length), at)
      at += length
    }
  return floats([n, all, ...positions], data)
}

/** Each number made of another. A loop: `from` of typed arrays takes thirty times as long with a function. */
export const mapValue = ({ shape, data }: Value, f: (x: number, i: number) => number): Value => {
  const out = new Float32Array(data.length)
  for (let i = 0; i < out.length; i++) out[i] = f(data[i] ?? 0, i)
  return floats(shape, out)
}
/** Pictures in [0, 1] as networks see them, in [-1, 1]. */
export const signed = (picture: Value): Value => mapValue(picture, (x) => 2 * x - 1)
export const zerosOf = (shape: Shape): Value => floats(shape, new Float32Array(size(shape)))

/** Planes [N, C, H, W] at another size, each place the nearest one (`interpolate`, mode nearest). */
export const nearest = ({ shape, data }: Value, height: number, width: number): Value => {
  const [n = 0, c = 0, h = 0, w = 0] = shape
  return floats(
    [n, c, height, width],
    Float32Array.from({ length: n * c * height * width }, (_, i) => {
      const [plane, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width]
      return data[(plane * h + Math.floor((y * h) / height)) * w + Math.floor((x * w) / width)] ?? 0
    }),
  )
}

/** Keys' kernel with torch's a = -3/4. */
const cubic = (x: number): number => {
  const [a, d] = [-0.75, Math.abs(x)]
  return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0
}
/** For each place of a line of `to`, four places of one of `from` and their weights; the edge goes on (`interpolate`, mode bicubic). */
const tapsOf = (from: number, to: number): readonly (readonly (readonly [place: number, weight: number])[])[] =>
  Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * (from / to) - 0.5
    const first = Math.floor(centre)
    return [-1, 0, 1, 2].map((k) => [Math.min(Math.max(first + k, 0), from - 1), cubic(centre - first - k)] as const)
  })
/** Planes [N, C, H, W] at another size as torch's bicubic interpolation has them, which does not widen its kernel. */
export const bicubicAt = ({ shape, data }: Value, height: number, width: number): Value => {
  const [n = 0, c = 0, h = 0, w = 0] = shape
  const [rows, columns] = [tapsOf(h, height), tapsOf(w, width)]
  return floats(
    [n, c, height, width],
    Float32Array.from({ length: n * c * height * width }, (_, i) => {
      const [plane, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width]
      let sum = 0
      for (const [row, a] of rows[y] ?? [])
        for (const [column, b] of columns[x] ?? []) sum += a * b * (data[(plane * h + row) * w + column] ?? 0)
      return sum
    }),
  )
}
