import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import type { Asked } from '../experiment/conditioning.ts'
import type { Experiment } from '../experiment/document.ts'
import { planOf } from '../experiment/sampling.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { Beginning } from '../train/drawing.ts'
import { latentsOfPictures } from '../train/encoding.ts'
import type { Items } from '../train/inference.ts'
import { nameOf, type PictureSource } from './picture-source.ts'
import type { FromOptions, ReadPicture, Reads } from './reads.ts'
import type { TrainedRun } from './trained-run.ts'

/** What drawing begins with, as is asked. */

/** Options that say what to begin with, each with what it needs, and what it cannot be with. */
const rules: readonly {
  readonly option: keyof FromOptions
  readonly flag: string
  readonly needs?: readonly [keyof FromOptions, string]
  readonly not?: readonly (readonly [keyof FromOptions, string])[]
}[] = [
  { option: 'strength', flag: '--strength', needs: ['from', '--from <picture>'], not: [['invert', '--invert']] },
  { option: 'mask', flag: '--mask', needs: ['from', '--from <picture>'], not: [['invert', '--invert']] },
  { option: 'invert', flag: '--invert', needs: ['from', '--from <picture>'] },
  { option: 'fromClass', flag: '--from-class', needs: ['invert', '--invert'] },
  { option: 'fromPrompt', flag: '--from-prompt', needs: ['invert', '--invert'] },
  {
    option: 'interpolate',
    flag: '--interpolate',
    not: [
      ['from', '--from'],
      ['vary', '--vary'],
    ],
  },
  { option: 'vary', flag: '--vary', not: [['from', '--from']] },
]

/** Options that fit each other. Errors (`usage`): at the first that does not. */
export const checkFrom = (o: FromOptions): Checked<unknown> => {
  for (const { option, flag, needs, not = [] } of rules) {
    if (o[option] === undefined) continue
    if (needs !== undefined && o[needs[0]] === undefined) return fail('usage', flag, `${needs[1]} beside it`, 'none')
    const other = not.find(([name]) => o[name] !== undefined)
    if (other !== undefined) return fail('usage', flag, `not together with ${other[1]}`, 'both')
  }
  return E.right(undefined)
}

/** How much of the walk is walked where nothing is said: what is masked is drawn from noise. */
const strengthOf = ({ strength, mask }: FromOptions): number => strength ?? (mask === undefined ? 0.75 : 1)

/** How much of each pixel is drawn anew, [size, size]: the grey of the mask. */
export const readMask = (
  reads: Pick<Reads, 'picture'>,
  source: PictureSource,
  size: number,
  of: ReadPicture,
): Effect<Float32Array> =>
  effect(async (run) => {
    const { picture, width, height } = await run(reads.picture(source, size))
    if (width !== of.width || height !== of.height)
      return run(
        TE.fromEither(
          fail(
            'usage',
            `--mask ${nameOf(source)}`,
            `${of.width}x${of.height} pixels, as the picture`,
            `${width}x${height}`,
          ),
        ),
      )
    const plane = size * size
    const { data } = picture
    const grey = Float32Array.from(
      { length: plane },
      (_, i) => ((data[i] ?? 0) + (data[plane + i] ?? 0) + (data[2 * plane + i] ?? 0)) / 6 + 0.5,
    )
    return grey.some((x) => x >= 0.5)
      ? grey
      : run(
          TE.fromEither(
            fail('usage', `--mask ${nameOf(source)}`, 'white where the picture is drawn anew', 'no such pixel'),
          ),
        )
  })

/** Latents stay whose pixels all do. */
const knownLatents = (redrawn: Float32Array, size: number, side: number): Float32Array => {
  const block = size / side
  const known = new Float32Array(side * side).fill(1)
  redrawn.forEach((x, i) => {
    const [row, column] = [Math.floor(i / size), i % size]
    if (x >= 0.5) known[Math.floor(row / block) * side + Math.floor(column / block)] = 0
  })
  return known
}

/** Pixels that stay as they are, in every picture. */
const pasted =
  (original: Items, redrawn: Float32Array) =>
  (drawn: Items): Items => ({
    ...drawn,
    data: drawn.data.map((x, i) => {
      const share = redrawn[i % redrawn.length] ?? 1
      return share * x + (1 - share) * (original.data[i % original.data.length] ?? 0)
    }),
  })

export interface Begun {
  readonly from: Beginning
  /** What is done to the pictures in the end. */
  readonly finish: (drawn: Items) => Items
  /** What it is, in words for the opening line; empty for noise. */
  readonly says: string
}

const asDrawn = (drawn: Items): Items => drawn

/** A walk that draws no noise of its own, so that what was inverted comes back. */
const silent = (trained: Pick<TrainedRun, 'model'>, { sampling }: Experiment): Checked<unknown> =>
  pipe(
    planOf(sampling, trained.model.path),
    E.flatMap(({ uses }) =>
      uses.noise || uses.lift
        ? fail('usage', '--invert', 'a sampler that draws no noise', sampling.sampler, 'such as --sampler ddim')
        : E.right(undefined),
    ),
  )

/** The numbers of rows and columns of a grid of pictures, of which each row is one noise. */
const places = (n: number, each: number) => ({
  rows: Array.from({ length: n }, (_, i) => Math.floor(i / each)),
  columns: Array.from({ length: n }, (_, i) => i % each),
})

/** Reads what pictures begin with. Errors: `file`, `usage`, and those of the first stage. */
export const begin = (
  executor: Executor,
  reads: Reads,
  trained: Pick<TrainedRun, 'model' | 'firstStage'>,
  experiment: Experiment,
  o: FromOptions,
  wanted: {
    readonly asked: Asked
    readonly each: number
    readonly seed: number
    /** What a picture to invert shows. */
    readonly shown: Asked
  },
): Effect<Begun> =>
  effect(async (run) => {
    const { asked, each, seed, shown } = wanted
    const n = asked.labels.length
    const { rows, columns } = places(n, each)
    if (o.interpolate !== undefined) {
      const from: Beginning = {
        kind: 'between',
        numbers: rows,
        towards: { seed: o.interpolate, numbers: rows },
        shares: columns.map((column) => o.shares?.[column] ?? (each === 1 ? 0.5 : column / (each - 1))),
      }
      return { from, finish: asDrawn, says: `from the noise of seed ${seed} to that of ${o.interpolate}` }
    }
    if (o.vary !== undefined) {
      const share = o.vary
      const from: Beginning = {
        kind: 'between',
        numbers: rows,
        // Past all numbers that this grid's own pictures have.
        towards: { seed, numbers: rows.map((_, i) => n + i) },
        shares: columns.map((column) => (column === 0 ? 0 : share)),
      }
      return { from, finish: asDrawn, says: `each row varies its first picture by ${share}` }
    }
    if (o.from === undefined) return { from: { kind: 'noise' }, finish: asDrawn, says: '' }
    const { size, kind } = experiment.data
    if (kind === 'segmentation')
      return run(TE.fromEither(fail('usage', '--from', 'a model of pictures in colour', 'one of label maps')))
    const read = await run(reads.picture(o.from, size))
    const { model, firstStage: weights } = trained
    const stages = { model, stage: experiment.firstStage }
    const latents = await run(latentsOfPictures(executor, stages, weights, read.picture))
    const resized =
      read.width === size && read.height === size ? '' : ` (${read.width}x${read.height}, cut to ${size}x${size})`
    if (o.invert === true) {
      await run(TE.fromEither(silent(trained, experiment)))
      const from: Beginning = { kind: 'inverted', latents, asked: shown }
      return { from, finish: asDrawn, says: `from the noise that ${nameOf(o.from)}${resized} is drawn from` }
    }
    const strength = strengthOf(o)
    const says = `from ${nameOf(o.from)}${resized}, strength ${strength}`
    if (o.mask === undefined) return { from: { kind: 'picture', latents, strength }, finish: asDrawn, says }
    const redrawn = await run(readMask(reads, o.mask, size, read))
    const [, side = size] = latents.shape
    return {
      from: { kind: 'picture', latents, strength, known: knownLatents(redrawn, size, side) },
      finish: pasted(read.picture, redrawn),
      says: `${says}, where ${nameOf(o.mask)} is white`,
    }
  })
