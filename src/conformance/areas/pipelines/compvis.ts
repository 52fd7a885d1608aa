import { join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../../../error.ts'
import { type Executor, floats, type Value, type Values } from '../../../execute/executor.ts'
import { size } from '../../../graph/types.ts'
import { bytesOf, drawPipeline, guidanceOf } from '../../../pipelines/draw.ts'
import { factorOf } from '../../../pipelines/first-stage.ts'
import { branches } from '../../../pipelines/guidance.ts'
import { type Where, withPublished } from '../../../pipelines/read.ts'
import { draws, type Pipeline, type Request, stacked } from '../../../pipelines/request.ts'
import { walkOf } from '../../../pipelines/walk.ts'
import { E, pipe, TE } from '../../../prelude.ts'
import type { Transition } from '../../../samplers/index.ts'
import { leaves, type NoiseRequest } from '../../../samplers/index.ts'
import type { Level } from '../../../schedulers/path.ts'
import { ddimSigma } from '../../../schedulers/timesteps.ts'
import { impliedX0 } from '../sampler/compvis.ts'
import { column, wholeNumbers } from '../schedule.ts'
import {
  heeded,
  inputsOf,
  isNumber,
  isText,
  listIn,
  numberIn,
  type PipelineCase,
  present,
  type Run,
  type Seen,
  textIn,
  together,
  watching,
} from './case.ts'

/** Runs of CompVis' own scripts. */

const known = [
  ...['name', 'seed', 'conditioning', 'sampler', 'steps', 'batch', 'shape', 'scale', 'inputs', 'eta', 'noise', 'note'],
  ...['classes', 'unconditional_class', 'prompts', 'negative_prompts', 'img2img', 'f64_maxdiff', 'f64_image_maxdiff'],
]

const requestOf = (given: Run, inputs: Values, factor: number): Request => {
  const [, h = 0, w = 0] = listIn(given, 'shape', isNumber) ?? []
  const classes = listIn(given, 'classes', isNumber)
  const prompt = listIn(given, 'prompts', isText)
  const { image, mask, lr } = inputs
  return {
    count: numberIn(given, 'batch', 1),
    height: h * factor,
    width: w * factor,
    steps: numberIn(given, 'steps', 50),
    guidance: numberIn(given, 'scale', 1),
    guidanceRescale: 0,
    eta: numberIn(given, 'eta', 0),
    strength: numberIn(given, 'img2img', 1),
    pictureGuidance: 1,
    clipSkip: 0,
    ...(prompt === undefined ? {} : { prompt, negative: listIn(given, 'negative_prompts', isText) ?? [''] }),
    ...(classes === undefined ? {} : { classes, nothingClass: numberIn(given, 'unconditional_class', 0) }),
    ...present({ picture: image, mask, lowResolution: lr }),
  }
}

/** The case's draws: those that are named, and one for each step. */
const noiseOf =
  (inputs: Values) =>
  ({ name, step, shape }: NoiseRequest): Value =>
    ({ [draws.start]: inputs.latents ?? inputs.noise, [draws.posterior]: inputs.posterior_noise })[name] ??
    (name === leaves.noise ? inputs[`noise.${step}`] : undefined) ??
    floats(shape, new Float64Array(size(shape)))

/** The tables of the reference's sampler. */
const tablesOf = ({ document }: Pipeline, { steps, eta }: Request): Checked<Values> =>
  pipe(
    walkOf(document, { steps, eta: 0, strength: 1 }),
    E.map(({ transitions }) => {
      const rising = transitions.toReversed()
      const bars = (of: (t: Transition) => Level) => rising.map((t) => Math.fround(of(t).alpha ** 2))
      const [alphas, alphasPrev] = [bars(({ here }) => here), bars(({ next }) => next)]
      return {
        ddim_timesteps: wholeNumbers(rising.map(({ here }) => here.t)),
        ddim_alphas: column(alphas),
        ddim_alphas_prev: column(alphasPrev),
        ddim_sigmas: column(alphas.map((bar, i) => ddimSigma(eta, bar, alphasPrev[i] ?? Number.NaN))),
      }
    }),
  )

/** PLMS shows averaged predictions, and not what its first call gave. */
const shown = (seen: Seen, averages: boolean, transitions: readonly Transition[]) => {
  const start = seen.first('start')
  const x = seen.all('step.x')
  if (!averages || start === undefined) return { xs: x, x0s: seen.all('step.predX0') }
  const xs = [start, ...x.slice(1)]
  return {
    xs: xs.slice(1),
    x0s: transitions.flatMap((transition, i) => {
      const [before, after] = [xs[i], xs[i + 1]]
      return before === undefined || after === undefined ? [] : [impliedX0(transition)(before, after)]
    }),
  }
}

const runOf = (executor: Executor, pipeline: Pipeline, c: PipelineCase, given: Run): Effect<Values> =>
  effect(async (run) => {
    await run(TE.fromEither(heeded(`${c.file.file}: ${given.name}`, given, known)))
    const inputs = inputsOf(c, given.name)
    const plms = textIn(given, 'sampler') === 'plms'
    const { sampling } = pipeline.document
    if (sampling.by !== 'compvis')
      return run(TE.fromEither(fail('data', given.name, 'a model of CompVis', sampling.by)))
    const chosen: Pipeline = {
      ...pipeline,
      document: { ...pipeline.document, sampling: { ...sampling, sampler: plms ? 'plms' : 'ddim' } },
    }
    const factor = factorOf(pipeline.document.firstStage)
    const request = requestOf(given, inputs, factor)
    const seen = watching()
    const picture = await run(
      drawPipeline({ executor, pipeline: chosen, request, noise: noiseOf(inputs), see: seen.see }),
    )
    const walk = await run(TE.fromEither(walkOf(chosen.document, request)))
    const { xs, x0s } = shown(seen, plms, walk.transitions)
    const first = seen.first('step.seen')
    const parts = branches[guidanceOf(chosen.document, request).kind].length
    const values = present({
      ...(await run(TE.fromEither(tablesOf(chosen, request)))),
      unet_t: wholeNumbers(walk.plan.steps.map(({ level }) => level.t)),
      latents_after_step: together(xs),
      pred_x0: together(x0s),
      latents_start: seen.first('start'),
      init_latents: seen.first('init'),
      encode_moments: seen.first('encode.moments'),
      latents: seen.first('latents'),
      unet_in_first: first && stacked(Array.from({ length: parts }, () => first)),
      unet_out: together(seen.all('step.network/said')),
      cond: seen.first('beside'),
      ids: seen.first('ids.0'),
      ids_negative: seen.all('ids.0')[1],
      embeds: seen.first('embeds'),
      embeds_negative: seen.first('embeds.negative'),
      decoded: seen.first('decoded'),
      image: bytesOf(chosen.document, picture),
      composed: picture,
    })
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${given.name}/out.${name}`, value]))
  })

/** All runs of a case. */
export const compVisRuns = (c: PipelineCase, executor: Executor): Effect<Values> => {
  const at = (key: string): Readonly<Record<string, string>> => {
    const path = textIn(c.document, key)
    return path === undefined ? {} : { [key]: join(c.folder, path) }
  }
  const {
    checkpoint = c.folder,
    config: yaml,
    tokenizer,
    text_encoder_config: textEncoder,
  } = {
    ...at('checkpoint'),
    ...at('config'),
    ...at('tokenizer'),
    ...at('text_encoder_config'),
  }
  const where: Where = {
    path: checkpoint,
    ...(yaml === undefined ? {} : { yaml }),
    ...(tokenizer === undefined ? {} : { tokenizers: [tokenizer] }),
    ...(textEncoder === undefined ? {} : { textEncoders: [textEncoder] }),
  }
  return withPublished(where, (pipeline) =>
    pipe(
      c.runs,
      TE.traverseSeqArray((given) => runOf(executor, pipeline, c, given)),
      TE.map((all): Values => Object.assign({}, ...all)),
    ),
  )
}
