import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { Executor, Value, Values } from '../execute/executor.ts'
import { size } from '../graph/types.ts'
import { E, TE } from '../prelude.ts'
import { leaves, noised, type PlannedStep, sample } from '../samplers/index.ts'
import { usingBaked } from '../train/inference.ts'
import { readied } from './applied.ts'
import { beginnable, beginsAtPicture, encoded, finished, type Given, staying, toldOf } from './conditions.ts'
import { type ControlRequest, controlFeeds, controlLeaves } from './control.ts'
import type { PipelineDocument } from './document.ts'
import { decodeLatents, factorOf, latentChannels, scaledLatents } from './first-stage.ts'
import { branches, type Guidance, guidanceFeeds } from './guidance.ts'
import { pipelineStep, type StepOptions } from './network.ts'
import {
  batchOf,
  draws,
  mapValue,
  type NoiseSource,
  type Pipeline,
  type Request,
  repeated,
  type See,
  signed,
  stacked,
  upTo,
  zerosOf,
} from './request.ts'
import { type Walk, walkOf } from './walk.ts'

/** Guidance as it is asked for: none at 1, and with diffusers' pipelines below. */
export const guidanceOf = (
  { conditioning, sampling }: PipelineDocument,
  { guidance, guidanceRescale, pictureGuidance }: Request,
): Guidance => {
  const tells = conditioning.classes !== null || conditioning.boxes !== null || conditioning.text.length > 0
  if (!tells || guidance === 1 || (sampling.by === 'diffusers' && guidance < 1)) return { kind: 'none' }
  if (conditioning.beside?.kind !== 'picture-latents')
    return { kind: 'classifier-free', scale: guidance, rescale: guidanceRescale }
  return pictureGuidance < 1 ? { kind: 'none' } : { kind: 'picture', text: guidance, picture: pictureGuidance }
}

interface Begun {
  /** x before the first step. */
  readonly x: Value
  /** The picture, where drawing begins at one. */
  readonly latents?: Value
}
const beginning = (given: Given, walk: Walk): Effect<Begun> =>
  effect(async (run) => {
    const { pipeline, request, place, noise } = given
    const { firstStage } = pipeline.document
    const shape = [request.count, latentChannels(firstStage), ...place]
    const drawn = () => noise({ name: draws.start, step: 0, shape }, upTo(request.count))
    if (!beginsAtPicture(given) || request.picture === undefined)
      return { x: mapValue(drawn(), (x) => x * walk.initial) }
    const encoding = await run(encoded(given, signed(request.picture), draws.posterior))
    const latents = repeated(scaledLatents(firstStage, encoding), request.count)
    given.see('init', scaledLatents(firstStage, encoding))
    return { x: noised(walk.start, latents, drawn()), latents }
  })

/** What of a picture stays, for all that are drawn. */
interface Known {
  readonly latents: Value
  /** [count, 1, h, w]: 1 where it does. */
  readonly stays: Value
}
/** Errors (`usage`): a mask without a picture. */
const knownOf = (given: Given, { latents }: Begun): Checked<Known | undefined> => {
  const stays = staying(given)
  return stays === undefined
    ? E.right(undefined)
    : latents === undefined
      ? fail('usage', '--from', 'a picture, of which a mask says what stays', 'nothing')
      : E.right({ latents, stays: repeated(stays, given.request.count) })
}
const knownFeeds = (known: Known | undefined, pictures: readonly number[]): Values =>
  known === undefined
    ? {}
    : { [leaves.x0]: batchOf(known.latents, 1, pictures), [leaves.mask]: batchOf(known.stays, 1, pictures) }

/** Latents in the end: where they are to stay, those of the picture. */
const putBack = (x: Value, known: Known | undefined): Value => {
  if (known === undefined) return x
  const [, channels = 1, ...positions] = x.shape
  const plane = size(positions)
  return mapValue(x, (value, i) => {
    const stays = known.stays.data[Math.floor(i / (channels * plane)) * plane + (i % plane)] ?? 0
    return stays > 0 ? (known.latents.data[i] ?? 0) : value
  })
}

/** The ControlNet as it is asked. Errors (`usage`): one without a picture for it, or the other way round. */
const controlOf = ({ control: config }: Pipeline, { control: request }: Request) =>
  config !== undefined && request !== undefined
    ? E.right({ control: { config, request } })
    : config === undefined && request === undefined
      ? E.right({})
      : fail(
          'usage',
          config === undefined ? '--control' : '--hint',
          'a ControlNet and a picture for it',
          'only one of them',
        )
const hintFeeds = ({ control }: Request, pictures: readonly number[]): Values =>
  control === undefined ? {} : { [controlLeaves.hint]: batchOf(control.hint, 1, pictures) }
const controlSteps =
  (control: ControlRequest, steps: number) =>
  ({ index }: PlannedStep): Values =>
    controlFeeds(control, index, steps)

/** One step of a batch of the pictures. */
export interface PipelineStep {
  /** Steps done of all batches together, and how many there are. */
  readonly done: number
  readonly of: number
  /** The first picture of the batch, and how many there are in it. */
  readonly from: number
  readonly n: number
  /** The scaled latents that the step predicts in the end, where asked for by `predict`. */
  readonly predicted?: Value
}

export interface Drawing {
  readonly executor: Executor
  readonly pipeline: Pipeline
  readonly request: Request
  readonly noise: NoiseSource
  /** Pictures that pass the network together; all where left out. */
  readonly atATime?: number
  /** Told of all that is computed; nothing is computed only to be seen where left out. */
  readonly see?: See
  /** Told of each step of each batch; a left ends the drawing. */
  readonly onStep?: (step: PipelineStep) => Effect<void>
  /** Whether steps tell what they predict. */
  readonly predict?: boolean
}

/** From noise to latents, batch by batch. */
const walked = (given: Given, { onStep, see, atATime, predict = false }: Drawing): Effect<Value> =>
  effect(async (run) => {
    const { executor, pipeline, request, noise, see: tell } = given
    const { document } = pipeline
    await run(beginnable(given))
    const walk = await run(TE.fromEither(walkOf(document, request)))
    const guidance = guidanceOf(document, request)
    const begun = await run(beginning(given, walk))
    const known = await run(TE.fromEither(knownOf(given, begun)))
    tell('start', begun.x)
    const told = await run(toldOf(given, guidance))
    const watch = see !== undefined
    const control = await run(TE.fromEither(controlOf(pipeline, request)))
    const batch = Math.min(atATime ?? request.count, request.count)
    const count = branches[guidance.kind].length
    const part = (pictures: readonly number[]) => ({
      from: batchOf(begun.x, 1, pictures),
      told: Object.fromEntries(Object.entries(told).map(([name, value]) => [name, batchOf(value, count, pictures)])),
    })
    const first = part(upTo(batch))
    const asked: StepOptions = {
      shape: first.from.shape,
      guidance,
      told: first.told,
      inpaint: known !== undefined,
      watch: watch ? 'all' : predict ? 'prediction' : 'nothing',
      ...control,
    }
    const step = await run(TE.fromEither(pipelineStep(document, walk, asked)))
    const { graph, baked } = await run(readied(step, 'unet', pipeline))
    const drawing = new Set(walk.plan.steps.flatMap(({ draws: drawn, index }) => (drawn ? [index] : [])))
    const batches = Math.ceil(request.count / batch)
    return run(
      usingBaked(executor, graph, baked, (executable) =>
        effect(async (go) => {
          const found: Value[] = []
          for (let b = 0; b < batches; b++) {
            const pictures = upTo(batch).map((i) => b * batch + i)
            const n = Math.min(batch, request.count - b * batch)
            const own = part(pictures)
            const { x } = await go(
              sample({
                plan: walk.plan,
                graph,
                executable,
                from: own.from,
                noiseOf: (wanted) =>
                  wanted.name !== leaves.noise || drawing.has(wanted.step)
                    ? noise(wanted, pictures)
                    : zerosOf(wanted.shape),
                feeds: {
                  ...own.told,
                  ...guidanceFeeds(guidance),
                  ...hintFeeds(request, pictures),
                  ...knownFeeds(known, pictures),
                },
                ...(request.control === undefined
                  ? {}
                  : { stepFeeds: controlSteps(request.control, walk.plan.steps.length) }),
                onStep: ({ done, of, x: now, watched }) =>
                  effect(async (within) => {
                    if (watch) {
                      for (const [name, value] of Object.entries(watched)) tell(`step.${name}`, value)
                      tell('step.x', await within(now))
                    }
                    if (onStep !== undefined) {
                      const { predX0 } = watched
                      await within(
                        onStep({
                          done: b * of + done,
                          of: batches * of,
                          from: b * batch,
                          n,
                          ...(predict && predX0 !== undefined ? { predicted: batchOf(predX0, 1, upTo(n)) } : {}),
                        }),
                      )
                    }
                  }),
              }),
            )
            found.push(batchOf(x, 1, upTo(n)))
          }
          return putBack(stacked(found), known)
        }),
      ),
    )
  })

/** Draws pictures [N, 3, H, W] in [0, 1]. Errors: `config`, `usage`, `file`, `run`. */
export const drawPipeline = (drawing: Drawing): Effect<Value> =>
  effect(async (run) => {
    const { executor, pipeline, request, noise, see, atATime } = drawing
    const { document, weights } = pipeline
    const tell: See = see ?? (() => {})
    const factor = factorOf(document.firstStage)
    const given: Given = {
      executor,
      pipeline,
      request,
      place: [Math.floor(request.height / factor), Math.floor(request.width / factor)],
      noise,
      see: tell,
    }
    const latents = await run(walked(given, drawing))
    tell('latents', latents)
    const decoded = await run(decodeLatents(executor, document.firstStage, weights, latents, atATime ?? request.count))
    tell('decoded', decoded)
    return finished(given, decoded)
  })

const roundHalfEven = (x: number): number => {
  const below = Math.floor(x)
  const rest = x - below
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
}
/** Pictures as bytes [N, H, W, C]: rounded, or cut as CompVis' scripts do. */
export const bytesOf = ({ sampling }: PipelineDocument, pictures: Value): Value => {
  const [n = 0, c = 0, h = 0, w = 0] = pictures.shape
  const cut = sampling.by === 'compvis' ? Math.floor : roundHalfEven
  const data = new Int32Array(n * c * h * w)
  for (let i = 0; i < data.length; i++) {
    const [channel, at, item] = [i % c, Math.floor(i / c) % (h * w), Math.floor(i / (c * h * w))]
    const x = pictures.data[(item * c + channel) * h * w + at] ?? 0
    data[i] = cut(Math.fround(255 * x))
  }
  return { dtype: 'int32', shape: [n, h, w, c], data }
}
