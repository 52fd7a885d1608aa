import { type Effect, effect, fail } from '../error.ts'
import type { Executor, Value, Values } from '../execute/executor.ts'

import { E, TE } from '../prelude.ts'
import { leaves, noised, type PlannedStep, sample } from '../samplers/index.ts'
import { usingBaked } from '../train/inference.ts'
import { readied } from './applied.ts'
import { beginsAtPicture, encoded, finished, type Given, toldOf } from './conditions.ts'
import { type ControlRequest, controlFeeds, controlLeaves } from './control.ts'
import type { PipelineDocument } from './document.ts'
import { decodeLatents, factorOf, scaledLatents } from './first-stage.ts'
import { type Guidance, guidanceFeeds } from './guidance.ts'
import { pipelineStep } from './network.ts'
import {
  draws,
  mapValue,
  type NoiseSource,
  type Pipeline,
  type Request,
  repeated,
  type See,
  signed,
  zerosOf,
} from './request.ts'
import { type Walk, walkOf } from './walk.ts'

/** Guidance as it is asked for: none at 1, and with diffusers' pipelines below. */
export const guidanceOf = (
  { conditioning, sampling }: PipelineDocument,
  { guidance, guidanceRescale, pictureGuidance }: Request,
): Guidance => {
  const tells = conditioning.classes !== null || conditioning.text.length > 0
  if (!tells || guidance === 1 || (sampling.by === 'diffusers' && guidance < 1)) return { kind: 'none' }
  if (conditioning.beside?.kind !== 'picture-latents')
    return { kind: 'classifier-free', scale: guidance, rescale: guidanceRescale }
  return pictureGuidance < 1 ? { kind: 'none' } : { kind: 'picture', text: guidance, picture: pictureGuidance }
}

/** x before the first step. */
const beginning = (given: Given, walk: Walk): Effect<Value> =>
  effect(async (run) => {
    const { pipeline, request, place, noise } = given
    const { firstStage } = pipeline.document
    const shape = [request.count, firstStage.network.latentChannels, ...place]
    if (!beginsAtPicture(given) || request.picture === undefined)
      return mapValue(noise({ name: draws.start, step: 0, shape }), (x) => x * walk.initial)
    const latents = scaledLatents(firstStage, await run(encoded(given, signed(request.picture), draws.posterior)))
    given.see('init', latents)
    return noised(walk.start, repeated(latents, request.count), noise({ name: draws.start, step: 0, shape }))
  })

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
const hintFeeds = ({ control, count }: Request): Values =>
  control === undefined ? {} : { [controlLeaves.hint]: repeated(control.hint, count) }
const controlSteps =
  (control: ControlRequest, steps: number) =>
  ({ index }: PlannedStep): Values =>
    controlFeeds(control, index, steps)

export interface Drawing {
  readonly executor: Executor
  readonly pipeline: Pipeline
  readonly request: Request
  readonly noise: NoiseSource
  /** Told of all that is computed; nothing is computed only to be seen where left out. */
  readonly see?: See
  /** Told of each step; a left ends the drawing. */
  readonly onStep?: (done: number, of: number) => Effect<void>
}

/** Draws a batch of pictures [N, 3, H, W] in [0, 1]. Errors: `config`, `usage`, `file`, `run`. */
export const drawPipeline = ({ executor, pipeline, request, noise, see, onStep }: Drawing): Effect<Value> =>
  effect(async (run) => {
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
    const walk = await run(TE.fromEither(walkOf(document, request)))
    const guidance = guidanceOf(document, request)
    const start = await run(beginning(given, walk))
    tell('start', start)
    const told = await run(toldOf(given, guidance))
    const watch = see !== undefined
    const control = await run(TE.fromEither(controlOf(pipeline, request)))
    const step = await run(
      TE.fromEither(pipelineStep(document, walk, { shape: start.shape, guidance, told, watch, ...control })),
    )
    const { graph, baked } = await run(readied(step, 'unet', pipeline))
    const drawing = new Set(walk.plan.steps.flatMap((step) => (step.draws ? [step.index] : [])))
    const latents = await run(
      usingBaked(executor, graph, baked, (executable) =>
        sample({
          plan: walk.plan,
          graph,
          executable,
          from: start,
          noiseOf: (request) =>
            request.name !== leaves.noise || drawing.has(request.step) ? noise(request) : zerosOf(request.shape),
          feeds: { ...told, ...guidanceFeeds(guidance), ...hintFeeds(request) },
          ...(request.control === undefined
            ? {}
            : { stepFeeds: controlSteps(request.control, walk.plan.steps.length) }),
          onStep: ({ done, of, x, watched }) =>
            effect(async (go) => {
              if (watch) {
                for (const [name, value] of Object.entries(watched)) tell(`step.${name}`, value)
                tell('step.x', await go(x))
              }
              if (onStep !== undefined) await go(onStep(done, of))
            }),
        }),
      ),
    )
    tell('latents', latents.x)
    const decoded = await run(decodeLatents(executor, document.firstStage, weights, latents.x))
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
