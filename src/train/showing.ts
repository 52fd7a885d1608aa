import { type Dataset, labelsOf } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import type { Asked } from '../experiment/conditioning.ts'
import type { LatentDiffusion } from '../experiment/diffusion-stage.ts'
import type { TextReader } from '../text/prompt.ts'
import { picturesOf, randomOf } from './data.ts'
import { labelRows } from './drawing.ts'
import { firstItems, type Items, psnrs, range } from './inference.ts'
import { knownOf } from './known.ts'
import { captionTokens } from './texts.ts'

/** By which pictures a diffusion model is shown: a row of each class, or what it makes of held-out pictures. */

/** Mean PSNR of what is made of held-out pictures' conditions, and of interpolation, in dB. */
export interface Restoration {
  /** What the model is told of each picture. */
  readonly condition: string
  readonly pictures: number
  readonly psnr: number
  readonly baseline?: number
}

/** `from low resolution: 24.1 dB PSNR of 8 held-out pictures, 23.0 by interpolation` */
export const saysRestoration = ({ condition, pictures, psnr, baseline }: Restoration): string =>
  `from ${condition}: ${psnr.toFixed(2)} dB PSNR of ${pictures} held-out pictures${
    baseline === undefined ? '' : `, ${baseline.toFixed(2)} by interpolation`
  }`

export interface Showing {
  readonly asked: Asked
  readonly columns: number
  /** What each row is; empty where the rows are the classes. */
  readonly rows: readonly string[]
  /** The pictures of the grid, of those that were drawn. */
  readonly grid: (drawn: Items) => Items
  /** What is told of each, where it is told by texts. */
  readonly captions?: readonly string[]
  readonly restoration?: (drawn: Items) => Restoration
}

const mean = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) / numbers.length

const stacked = (rows: readonly Items[]): Items => {
  const [first] = rows
  const data = new Float32Array(rows.reduce((n, r) => n + r.data.length, 0))
  let at = 0
  for (const r of rows) {
    data.set(r.data, at)
    at += r.data.length
  }
  return { n: rows.reduce((n, r) => n + r.n, 0), shape: first?.shape ?? [], data }
}

/** `perRow` pictures of each class, or of that many that were held out what the model is told, what it makes of it, and what they are. */
export const showingOf = (
  { classes, conditioner }: LatentDiffusion,
  perRow: number,
  data: Dataset,
  { seed, tokens }: { readonly seed: number; readonly tokens: TextReader | undefined },
): Effect<Showing> =>
  effect(async (run) => {
    const { pictures: condition } = conditioner
    const heldOut = picturesOf(data)
    const texts = (indices: readonly number[]) =>
      tokens === undefined
        ? {}
        : { tokens: captionTokens(tokens, data)(indices), captions: indices.map((i) => data.about(i).caption ?? '') }
    const known = knownOf(conditioner, data)
    if ((tokens !== undefined || conditioner.known !== undefined) && condition === undefined) {
      const whole = await run(firstItems(heldOut, perRow))
      const indices = range(0, whole.n)
      const { captions, ...read } = texts(indices)
      return {
        asked: { labels: indices.map(() => 0), ...read, ...known(indices) },
        columns: whole.n,
        rows: ['ours', 'true'],
        ...(captions === undefined ? {} : { captions }),
        grid: (drawn) => stacked([drawn, whole]),
      }
    }
    if (condition === undefined)
      return { asked: { labels: labelRows(classes, perRow) }, columns: perRow, rows: [], grid: (drawn) => drawn }
    const whole = await run(firstItems(heldOut, perRow))
    const indices = range(0, whole.n)
    const whatIs = await run(data.read(indices))
    const classOf = labelsOf(data)
    const { captions, ...read } = texts(indices)
    const told = condition.of(whatIs, (i) => randomOf(seed, 'condition', 'shown', String(i)))
    const like = (data: Float32Array): Items => ({ ...whole, data })
    return {
      asked: { labels: indices.map((i) => classOf?.[i] ?? 0), ...read, ...known(indices), pictures: told },
      columns: whole.n,
      rows: [condition.name, 'ours', 'true'],
      ...(captions === undefined ? {} : { captions }),
      grid: (drawn) => stacked([like(condition.shown(told)), drawn, whole]),
      // What follows a hint need not come near the picture that this was made of.
      ...(condition.asks === 'hint'
        ? {}
        : {
            restoration: (drawn: Items) => ({
              condition: condition.name,
              pictures: whole.n,
              psnr: mean(psnrs(whole, drawn)),
              ...(condition.baseline === undefined
                ? {}
                : { baseline: mean(psnrs(whole, like(condition.baseline(told)))) }),
            }),
          }),
    }
  })
