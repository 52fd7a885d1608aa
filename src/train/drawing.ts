import { type Effect, effect } from '../error.ts'
import { only as named } from '../execute/carry.ts'
import { type Executable, type Executor, floats, type Value, type Values } from '../execute/executor.ts'
import type { Asked } from '../experiment/conditioning.ts'
import {
  diffusionLeaves,
  inversionProgram,
  type LatentDiffusion,
  type SamplingProgram,
  samplingProgram,
} from '../experiment/diffusion-stage.ts'
import { guidanceAt, type Sampling } from '../experiment/sampling.ts'
import { feedTypes } from '../graph/graph.ts'
import { type Shape, size } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import { initialNoise, keyedNoise, leaves, noised, type SamplingPlan, sample, slerp } from '../samplers/index.ts'
import type { Stages } from './encoding.ts'
import { asPart, batchSize, decodeLatents, finite, type Items, joined, range, using, weightsFor } from './inference.ts'
import { fedBy } from './told.ts'

/** Drawing pictures: from noise, from between noises, from pictures, with and without a part that stays. */

/** Raw latents that drawing begins with: one for each picture, or one for all. */
type Latents = Items

/** What a picture is drawn from. */
export type Beginning =
  | { readonly kind: 'noise' }
  /** Noise between that of the pictures' own numbers and that of others, for each picture a share of the way (slerp). */
  | {
      readonly kind: 'between'
      readonly numbers: readonly number[]
      readonly towards: { readonly seed: number; readonly numbers: readonly number[] }
      readonly shares: readonly number[]
    }
  /** A picture, noised as far as `strength` says (SDEdit, Meng et al. 2022): 1 is noise alone, 0 the picture as it is. */
  | {
      readonly kind: 'picture'
      readonly latents: Latents
      readonly strength: number
      /** Which latents stay: 1 where they do, `[h, w]`. */
      readonly known?: Float32Array
    }
  /** The noise that DDIM would draw a picture from, if it were told what is asked. */
  | { readonly kind: 'inverted'; readonly latents: Latents; readonly asked: Asked }

/** One step of a batch of the pictures. */
export interface DrawingStep {
  /** Steps done of all batches together, and how many there are. */
  readonly done: number
  readonly of: number
  /** The first picture of the batch, and how many there are in it. */
  readonly from: number
  readonly n: number
  /** What the step predicts the raw latents to be in the end, where asked for by `watch`. */
  readonly predicted?: Items
}

/** Which pictures to draw; what of it the model is not told is ignored. */
export interface Wanted extends Asked {
  readonly seed: number
  readonly sampling: Sampling
  /** The number that latents were multiplied by. */
  readonly scale: number
  /** Noise where left out. */
  readonly from?: Beginning
  /** Whether steps tell what they predict. */
  readonly watch?: boolean
  /** Told of each step; a left ends the drawing before the next. */
  readonly onStep?: (step: DrawingStep) => Effect<void>
}

/** How many latents are drawn at a time: 32 of up to 64x64, of larger ones as many as have so many numbers. */
export const drawnAtATime = ([, height = 1, width = 1]: Shape): number =>
  Math.max(1, Math.min(batchSize, Math.floor((batchSize * 64 * 64) / (height * width))))

/** Rows of as many numbers each as there are for a picture; 0 beyond the last. */
const rowsFor = <A extends Float32Array | Int32Array>(
  all: A,
  of: number,
  numbers: readonly number[],
  make: (length: number) => A,
): A => {
  const each = all.length / of
  const out = make(numbers.length * each)
  for (const [row, n] of numbers.entries()) out.set(all.subarray(n * each, (n + 1) * each), row * each)
  return out
}

/** What is asked for pictures of these numbers; 0 beyond the last. */
const askedFor = ({ labels, pictures, tokens, known, negative }: Asked, numbers: readonly number[]): Asked => ({
  labels: numbers.map((i) => labels[i] ?? 0),
  ...(pictures === undefined
    ? {}
    : { pictures: rowsFor(pictures, labels.length, numbers, (n) => new Float32Array(n)) }),
  ...(tokens === undefined ? {} : { tokens: rowsFor(tokens, labels.length, numbers, (n) => new Int32Array(n)) }),
  ...(known === undefined ? {} : { known: rowsFor(known, labels.length, numbers, (n) => new Float32Array(n)) }),
  ...(negative === undefined ? {} : { negative }),
})

/** Of so many things the one of picture i: a batch's places past the last have the last, and one alone is that of all. */
const placeOf = (i: number, n: number): number => Math.min(i, n - 1)
const numberOf = (items: readonly number[], i: number): number => items[placeOf(i, items.length)] ?? 0
const rowsAt = ({ n, shape, data }: Items, pictures: readonly number[], factor: number): Value => {
  const each = size(shape)
  const all = pictures.map((i) => data.subarray(placeOf(i, n) * each, (placeOf(i, n) + 1) * each))
  return floats(
    [pictures.length, ...shape],
    Float64Array.from(joined(all), (x) => x * factor),
  )
}

interface Batch {
  /** Numbers of the pictures; those past the last fill the batch up. */
  readonly pictures: readonly number[]
  /** Numbers under which noise is drawn. */
  readonly numbers: readonly number[]
  readonly asked: Asked
}
const batchOf = (wanted: Wanted, first: number, count: number): Batch => {
  const pictures = Array.from({ length: count }, (_, i) => first + i)
  const { from } = wanted
  return {
    pictures,
    numbers: from?.kind === 'between' ? pictures.map((i) => numberOf(from.numbers, i)) : pictures,
    asked: askedFor(wanted, pictures),
  }
}

const only = (values: Values, program: SamplingProgram): Values => named(values, Object.keys(feedTypes(program.graph)))
/** The noise that pictures would be drawn from. */
const inverted = (
  executor: Executor,
  m: LatentDiffusion,
  state: Values,
  { sampling, scale, pictures }: Wanted,
  from: Extract<Beginning, { readonly kind: 'inverted' }>,
): Effect<Items> =>
  effect(async (run) => {
    const n = from.asked.labels.length
    const count = Math.min(drawnAtATime(m.latent), n)
    const program = await run(TE.fromEither(inversionProgram(m, sampling, count)))
    const told: Asked = { ...from.asked, ...(pictures === undefined ? {} : { pictures }) }
    const places = Array.from({ length: Math.ceil(n / count) }, (_, b) =>
      Array.from({ length: count }, (_place, i) => Math.min(b * count + i, n - 1)),
    )
    const fed = await run(
      fedBy(
        executor,
        { model: m, graph: program.graph },
        state,
        scale,
        places.map((numbers) => askedFor(told, numbers)),
      ),
    )
    const up = (executable: Executable, batch: number) =>
      sample({
        ...program,
        executable,
        from: rowsAt(from.latents, places[batch] ?? [], scale),
        noiseOf: ({ shape }) => floats(shape, new Float64Array(size(shape))),
        feeds: only(fed[batch] ?? {}, program),
      })
    return run(
      using(executor, program.graph, weightsFor(program.graph, state), (executable) =>
        effect(async (go) => {
          const parts: Float32Array[] = []
          for (const batch of places.keys()) parts.push(Float32Array.from((await go(up(executable, batch))).x.data))
          return { n, shape: m.latent, data: joined(parts).subarray(0, n * size(m.latent)) }
        }),
      ),
    )
  })

type Kind = Beginning['kind']
type From<K extends Kind> = Extract<Beginning, { readonly kind: K }>
/** What a beginning is made with, beside itself. */
interface Given {
  readonly executor: Executor
  readonly m: LatentDiffusion
  readonly state: Values
  readonly wanted: Wanted
  readonly plan: SamplingPlan
  /** The noise of a batch's own numbers. */
  readonly noise: (batch: Batch) => Value
}
type Begin = Effect<(batch: Batch) => Value>

/** Gives each batch what its walk begins with. */
const beginnings: { readonly [K in Kind]: (from: From<K>, given: Given) => Begin } = {
  noise: (_, { noise }) => TE.right(noise),
  between: ({ towards, shares }, { noise, m }) =>
    TE.right((batch) => {
      const others = batch.pictures.map((i) => numberOf(towards.numbers, i))
      return slerp(
        noise(batch),
        initialNoise(towards.seed, others, m.latent),
        batch.pictures.map((i) => numberOf(shares, i)),
      )
    }),
  picture: ({ latents, strength }, { noise, plan, wanted: { scale } }) => {
    const [first] = plan.steps
    return TE.right((batch) =>
      strength === 1 || first === undefined
        ? noise(batch)
        : noised(first.level, rowsAt(latents, batch.pictures, scale), noise(batch)),
    )
  },
  inverted: (from, { executor, m, state, wanted }) =>
    pipe(
      inverted(executor, m, state, wanted, from),
      TE.map(
        (noises) =>
          ({ pictures }) =>
            rowsAt(noises, pictures, 1),
      ),
    ),
}
const beginning = <K extends Kind>(kind: K, from: From<K>, given: Given): Begin => beginnings[kind](from, given)

/** What a known part feeds, and x with it put in at the end. */
const knownPart = (m: LatentDiffusion, { from, scale }: Wanted) => {
  if (from?.kind !== 'picture' || from.known === undefined) return undefined
  const { latents, known: mask } = from
  const [, height = 1, width = 1] = m.latent
  const plane = height * width
  return {
    feeds: ({ pictures }: Batch): Values => ({
      [leaves.x0]: rowsAt(latents, pictures, scale),
      [leaves.mask]: rowsAt({ n: 1, shape: [1, height, width], data: mask }, pictures, 1),
    }),
    put: ({ pictures }: Batch, x: Float32Array): Float32Array => {
      const there = rowsAt(latents, pictures, scale).data
      return x.map((value, i) => {
        const stays = mask[i % plane] ?? 0
        return stays * (there[i] ?? 0) + (1 - stays) * value
      })
    },
  }
}

/** Draws raw latents: picture i depends on the seed and i alone, however they are batched. */
export const drawLatents = (executor: Executor, m: LatentDiffusion, state: Values, wanted: Wanted): Effect<Items> =>
  effect(async (run) => {
    const { labels, seed, sampling, scale, from = { kind: 'noise' }, negative, watch = false } = wanted
    const n = labels.length
    const batch = Math.min(drawnAtATime(m.latent), n)
    const strength = from.kind === 'picture' ? from.strength : 1
    if (from.kind === 'picture' && strength === 0)
      return { n, shape: m.latent, data: Float32Array.from(rowsAt(from.latents, range(0, n), 1).data) }
    const known = knownPart(m, wanted)
    const program = await run(
      TE.fromEither(
        samplingProgram(m, sampling, batch, {
          inpaint: known !== undefined,
          strength,
          watch: watch ? ['predX0'] : [],
          negative: negative !== undefined,
        }),
      ),
    )
    const batches = Math.ceil(n / batch)
    const raw = (data: Value['data']): Float32Array => Float32Array.from(data, (x) => Number(x) / scale)
    const noise = ({ numbers }: Batch): Value => initialNoise(seed, numbers, m.latent)
    const begin = await run(beginning(from.kind, from, { executor, m, state, wanted, plan: program.plan, noise }))
    const asked = range(0, batches).map((b) => batchOf(wanted, b * batch, batch))
    const fed = await run(
      fedBy(
        executor,
        { model: m, graph: program.graph },
        state,
        scale,
        asked.map((one) => one.asked),
      ),
    )
    const latents = await run(
      using(executor, program.graph, weightsFor(program.graph, state), (executable) =>
        effect(async (go) => {
          const parts: Float32Array[] = []
          for (const [b, one] of asked.entries()) {
            const inBatch = Math.min(batch, n - b * batch)
            const z = await go(
              sample({
                ...program,
                executable,
                from: begin(one),
                noiseOf: keyedNoise(seed, one.numbers),
                feeds: only({ ...fed[b], ...known?.feeds(one) }, program),
                stepFeeds: ({ level }) => ({
                  [diffusionLeaves.guidance]: floats([], Float64Array.of(guidanceAt(sampling, m.path, level.t))),
                }),
                onStep: ({ done, of, watched: { predX0 } }) =>
                  wanted.onStep?.({
                    done: b * of + done,
                    of: batches * of,
                    from: b * batch,
                    n: inBatch,
                    ...(predX0 === undefined
                      ? {}
                      : {
                          predicted: {
                            n: inBatch,
                            shape: m.latent,
                            data: raw(predX0.data).subarray(0, inBatch * size(m.latent)),
                          },
                        }),
                  }) ?? TE.right(undefined),
              }),
            )
            const x = Float32Array.from(z.x.data)
            parts.push(raw(known === undefined ? x : known.put(one, x)))
          }
          return joined(parts)
        }),
      ),
    )
    return run(finite('sampled latents', { n, shape: m.latent, data: latents.subarray(0, n * size(m.latent)) }))
  })

interface Weights {
  readonly firstStage: Values
  readonly diffusion: Values
}

/** Draws pictures: latents, decoded by the first stage where there is one. */
export const drawPictures = (
  executor: Executor,
  { model, stage }: Stages,
  { firstStage, diffusion }: Weights,
  wanted: Wanted,
): Effect<Items> =>
  effect(async (run) => {
    const latents = await run(drawLatents(executor, model, { ...asPart(firstStage), ...diffusion }, wanted))
    const drawn = stage.kind === 'identity' ? latents : await run(decodeLatents(executor, stage, firstStage, latents))
    const finish = model.conditioner.pictures?.finish
    return finish === undefined || wanted.pictures === undefined
      ? drawn
      : { ...drawn, data: finish(drawn.data, wanted.pictures) }
  })

/** A class for each picture, `perClass` of each in a row. */
export const labelRows = (classes: number, perClass: number): readonly number[] =>
  Array.from({ length: Math.max(classes, 1) * perClass }, (_, i) => Math.floor(i / perClass))
