import { join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../../../error.ts'
import { type Executor, floats, type Value, type Values } from '../../../execute/executor.ts'
import { size } from '../../../graph/types.ts'
import type { StoredArrays } from '../../../io/stored.ts'
import { controlSeen, withControlNet } from '../../../pipelines/control.ts'
import { bytesOf, drawPipeline, guidanceOf } from '../../../pipelines/draw.ts'
import { factorOf } from '../../../pipelines/first-stage.ts'
import { branches } from '../../../pipelines/guidance.ts'
import { readYaml, type Where, withPublished } from '../../../pipelines/read.ts'
import {
  controlled,
  draws,
  joinedChannels,
  mapValue,
  type Pipeline,
  type Request,
  stacked,
} from '../../../pipelines/request.ts'
import { joinedOf, type SchedulerOverride, withScheduler } from '../../../pipelines/scheduler.ts'
import { walkOf } from '../../../pipelines/walk.ts'
import { E, pipe, TE } from '../../../prelude.ts'
import type { NoiseRequest } from '../../../samplers/index.ts'
import { scales, twice } from '../sampler/diffusers.ts'
import { numbers, times } from '../sampler/loop.ts'
import { equipped } from './adapters.ts'
import {
  expectedOf,
  heeded,
  inputsOf,
  isJson,
  isNumber,
  isText,
  type Json,
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

/** Runs of diffusers' pipelines. */

const knownInCall = [
  ...['prompt', 'prompt_2', 'negative_prompt', 'negative_prompt_2', 'num_inference_steps', 'guidance_scale', 'height'],
  ...['width', 'eta', 'clip_skip', 'guidance_rescale', 'num_images_per_prompt', 'strength', 'image_guidance_scale'],
  ...['original_size', 'crops_coords_top_left', 'target_size', 'negative_original_size', 'negative_target_size'],
  ...['negative_crops_coords_top_left', 'controlnet_conditioning_scale', 'guess_mode', 'control_guidance_start'],
  ...['control_guidance_end', 'aesthetic_score', 'negative_aesthetic_score'],
]
const known = [
  ...['name', 'seed', 'note', 'call', 'inputs', 'scheduler', 'scheduler_config', 'noise', 'init_noise_sigma'],
  ...['f64_maxdiff', 'f64_image_maxdiff', 'pipeline', 'model', 'lora', 'fuse', 'textual_inversion'],
]

const texts = (call: Json, key: string): readonly string[] | undefined => {
  const one = textIn(call, key)
  return one === undefined ? listIn(call, key, isText) : [one]
}

/** Pictures 0..255, [H, W, C] or many of them, as planes in [0, 1]. */
const picture = (found: Value | undefined): Value | undefined => {
  if (found === undefined) return undefined
  const [n = 1, h = 0, w = 0, c = 1] = found.shape.length === 4 ? found.shape : [1, ...found.shape]
  const data = Float32Array.from({ length: n * c * h * w }, (_, i) => {
    const [item, channel, at] = [Math.floor(i / (c * h * w)), Math.floor(i / (h * w)) % c, i % (h * w)]
    return Math.fround((found.data[(item * h * w + at) * c + channel] ?? 0) / 255)
  })
  return floats([n, c, h, w], data)
}
/** [H, W] or [N, H, W] as one channel. */
const plane = (found: Value | undefined, factor: number): Value | undefined =>
  found &&
  mapValue(
    {
      ...found,
      shape: found.shape.length === 2 ? [1, 1, ...found.shape] : [found.shape[0] ?? 1, 1, ...found.shape.slice(1)],
    },
    (x) => Math.fround(x / factor),
  )

/** Height and width of the original, top and left, height and width in the end, where any of it is said. */
const sizesOf = (call: Json, prefix: string, height: number, width: number): readonly number[] | undefined => {
  const own = ['original_size', 'crops_coords_top_left', 'target_size'].map((key) =>
    listIn(call, prefix + key, isNumber),
  )
  if (own.every((list) => list === undefined)) return undefined
  const [original = [height, width], crop = [0, 0], target = [height, width]] = own
  return [...original, ...crop, ...target]
}

const requestOf = (pipeline: Pipeline, call: Json, inputs: Values): Request => {
  const image = picture(inputs.image)
  const factor = factorOf(pipeline.document.firstStage)
  const [, , latentHeight = 0, latentWidth = 0] = inputs.latents?.shape ?? []
  const [, , h = latentHeight * factor, w = latentWidth * factor] = image?.shape ?? []
  const [height, width] = [numberIn(call, 'height', h), numberIn(call, 'width', w)]
  const prompt = texts(call, 'prompt') ?? ['']
  const [prompt2, negative, negative2] = [
    texts(call, 'prompt_2'),
    texts(call, 'negative_prompt'),
    texts(call, 'negative_prompt_2'),
  ]
  const [sizes, negativeSizes] = [sizesOf(call, '', height, width), sizesOf(call, 'negative_', height, width)]
  const asked =
    image === undefined
      ? {}
      : pipeline.control === undefined
        ? { picture: image }
        : {
            control: {
              hint: image,
              scale: numberIn(call, 'controlnet_conditioning_scale', 1),
              start: numberIn(call, 'control_guidance_start', 0),
              end: numberIn(call, 'control_guidance_end', 1),
              guess: call.guess_mode === true,
            },
          }
  return {
    count: prompt.length * numberIn(call, 'num_images_per_prompt', 1),
    height,
    width,
    steps: numberIn(call, 'num_inference_steps', 50),
    guidance: numberIn(call, 'guidance_scale', 7.5),
    guidanceRescale: numberIn(call, 'guidance_rescale', 0),
    pictureGuidance: numberIn(call, 'image_guidance_scale', 1.5),
    eta: numberIn(call, 'eta', 0),
    strength: numberIn(call, 'strength', 1),
    aesthetic: numberIn(call, 'aesthetic_score', 6),
    negativeAesthetic: numberIn(call, 'negative_aesthetic_score', 2.5),
    clipSkip: numberIn(call, 'clip_skip', 0),
    prompt,
    ...(prompt2 === undefined ? {} : { prompt2 }),
    ...(negative === undefined ? {} : { negative }),
    ...(negative2 === undefined ? {} : { negative2 }),
    ...(sizes === undefined ? {} : { sizes }),
    ...(negativeSizes === undefined ? {} : { negativeSizes }),
    ...asked,
    ...present({ mask: plane(inputs.mask_image, 255), depth: plane(inputs.depth_map, 1) }),
  }
}

/** The case's draws in their order; the noise to begin with is an input of its own in most cases. */
const noiseOf = (inputs: Values) => {
  const queue = Array.from({ length: Object.keys(inputs).length }, (_, i) => inputs[`noise.${i}`])
  let next = 0
  return ({ name, shape }: NoiseRequest): Value => {
    const found = name === draws.start && inputs.latents !== undefined ? inputs.latents : queue[next++]
    return found ?? floats(shape, new Float64Array(size(shape)))
  }
}

const overrideOf = (given: Run): SchedulerOverride | undefined => {
  const { scheduler } = given
  if (!isJson(scheduler)) return undefined
  const name = textIn(scheduler, 'class')
  return name === undefined ? undefined : { name, options: isJson(scheduler.overrides) ? scheduler.overrides : {} }
}

/** What the network sees first: after scaling, with the channels beside. */
const firstInput = (seen: Seen, told: Value | undefined, parts: number): Value | undefined => {
  const x = seen.first('step.seen')
  if (x === undefined) return undefined
  const all = stacked(Array.from({ length: parts }, () => x))
  return told === undefined ? all : joinedChannels([all, told])
}

/** What the ControlNet gave at the first call. */
const controlValues = (seen: Seen): Values => {
  const down = Array.from({ length: 64 }, (_, i) => seen.first(`step.${controlSeen.down(i)}`))
  return present({
    ...Object.fromEntries(down.map((value, i) => [`control_down.${i}`, value])),
    control_mid: seen.first(`step.${controlSeen.middle}`),
  })
}

const seenValues = (seen: Seen, pipeline: Pipeline, request: Request, drawn: Value): Checked<Values> =>
  pipe(
    walkOf(pipeline.document, request),
    E.flatMap((walk) => {
      const { declared } = walk
      const { sampling } = pipeline.document
      if (declared === undefined || sampling.by !== 'diffusers')
        return fail('data', '', 'a scheduler of diffusers', 'none')
      const scale = scales({ ...declared, plan: walk.plan, transitions: walk.transitions })
      const start = seen.first('start')
      const [alpha = 1] = walk.plan.steps.map(({ level }) => level.alpha)
      const guidance = guidanceOf(pipeline.document, request)
      const parts = branches[guidance.kind].length
      const guided = seen.all('step.said')
      const indexed = (name: string, of: string): Values =>
        Object.fromEntries(seen.all(of).map((value, i) => [`${name}.${i}`, value]))
      const encoders = ['text_encoder', 'text_encoder_2']
      return E.right({
        ...present({
          embeds: seen.first('embeds'),
          embeds_negative: seen.first('embeds.negative'),
          embeds_all: seen.first('embeds.all'),
          pooled: seen.first('pooled'),
          pooled_negative: seen.first('pooled.negative'),
          unet_text_embeds: joinedOf(seen.all('vector.pooled')),
          unet_time_ids: joinedOf(seen.all('vector.sizes')),
          decoded: seen.first('decoded'),
          image: bytesOf(pipeline.document, drawn),
          latents_start: start && (declared.exploding ? times(1 / alpha)(start) : start),
          latents_after_step: together(seen.all('step.x').map((x, i) => times(scale[i] ?? 1)(x))),
          guided: together(guided),
          unet_out: together(seen.all('step.network/said')),
          unet_in_first: firstInput(seen, seen.first('told.beside'), parts),
          timesteps: numbers(walk.plan.steps.map(({ level }) => level.t)),
          scheduler_timesteps: numbers(declared.whole.steps.map(({ level }) => level.t)),
          ...(declared.sigmas === undefined ? {} : { sigmas: numbers(twice(sampling.scheduler, declared.sigmas)) }),
        }),
        ...Object.fromEntries(encoders.flatMap((name, k) => Object.entries(indexed(`ids.${name}`, `ids.${k}`)))),
        ...controlValues(seen),
        ...indexed('encode_in', 'encode.in'),
        ...indexed('encode_moments', 'encode.moments'),
      })
    }),
  )

/** One run with the model of the case, or its own. */
const runOf = (executor: Executor, read: Pipeline, c: PipelineCase, given: Run): Effect<Values> =>
  effect(async (run) => {
    const place = `${c.file.file}: ${given.name}`
    const call = isJson(given.call) ? given.call : {}
    await run(TE.fromEither(heeded(place, given, known)))
    await run(TE.fromEither(heeded(`${place}: call`, call, knownInCall)))
    const inputs = inputsOf(c, given.name)
    const override = overrideOf(given)
    const document =
      override === undefined ? read.document : await run(TE.fromEither(withScheduler(read.document, override)))
    const pipeline = await run(equipped({ ...read, document }, c, given))
    const request = requestOf(pipeline, call, inputs)
    const seen = watching()
    const drawn = await run(drawPipeline({ executor, pipeline, request, noise: noiseOf(inputs), see: seen.see }))
    const values = await run(TE.fromEither(seenValues(seen, pipeline, request, drawn)))
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${given.name}/out.${name}`, value]))
  })

/** Where a model lies, as a case says it. */
export const whereOf = (c: PipelineCase, model: unknown): Where => {
  const found = isJson(model) ? model : {}
  const at = (key: string): string | undefined => {
    const path = textIn(found, key)
    return path === undefined ? undefined : join(c.folder, path)
  }
  const [yaml, config, variant] = [at('yaml'), at('config'), textIn(found, 'variant')]
  return {
    path: at('path') ?? c.folder,
    ...(yaml === undefined ? {} : { yaml }),
    ...(config === undefined ? {} : { config }),
    ...(variant === undefined ? {} : { variant }),
  }
}

/** The files that hold the case's model: the first, and others that must give the same. */
const modelsOf = (c: PipelineCase): readonly unknown[] => [
  c.document.model,
  ...(Array.isArray(c.document.also) ? c.document.also : []),
]
/** Each file of the model with the first ControlNet, and each other ControlNet with the first file. */
const filesOf = (c: PipelineCase): readonly { readonly model: unknown; readonly control: unknown }[] => {
  const [control, ...others] = controlsOf(c)
  return [
    ...modelsOf(c).map((model) => ({ model, control })),
    ...others.map((other) => ({ model: c.document.model, control: other })),
  ]
}
const marked = (i: number, values: Values): Values =>
  i === 0
    ? values
    : Object.fromEntries(Object.entries(values).map(([name, value]) => [`${name} from file ${i + 1}`, value]))

/** A model with the case's ControlNet, where it has one: of the first files, and of others that must give the same. */
const controlsOf = (c: PipelineCase): readonly unknown[] => [
  c.document.controlnet,
  ...(Array.isArray(c.document.controlnet_also) ? c.document.controlnet_also : []),
]
const withControl = <A>(
  c: PipelineCase,
  read: Pipeline,
  control: unknown,
  use: (pipeline: Pipeline) => Effect<A>,
): Effect<A> =>
  control === undefined
    ? use(read)
    : effect(async (run) => {
        const { path, yaml, variant } = whereOf(c, control)
        const where = {
          path,
          ...(yaml === undefined ? {} : { yaml: await run(readYaml(yaml)) }),
          ...(variant === undefined ? {} : { variant }),
        }
        return run(withControlNet(where, (found) => use(controlled(read, found))))
      })

/** All runs of a case, with each of its files. */
export const diffusersRuns = (c: PipelineCase, executor: Executor): Effect<Values> =>
  pipe(
    filesOf(c),
    TE.traverseSeqArrayWithIndex((i, { model, control }) =>
      effect(async (run) => {
        const own = c.runs.filter((given) => given.model === undefined)
        const others = i === 0 ? c.runs.filter((given) => given.model !== undefined) : []
        const found = await run(
          withPublished(whereOf(c, model), (read) =>
            withControl(c, read, control, (pipeline) =>
              pipe(
                own,
                TE.traverseSeqArray((given) => runOf(executor, pipeline, c, given)),
              ),
            ),
          ),
        )
        const apart = await run(
          pipe(
            others,
            TE.traverseSeqArray((given) =>
              withPublished(whereOf(c, given.model), (read) => runOf(executor, read, c, given)),
            ),
          ),
        )
        return marked(i, Object.assign({}, ...found, ...apart))
      }),
    ),
    TE.map((all): Values => Object.assign({}, ...all)),
  )

/** The same is expected of every file. */
export const expectedOfAll = (c: PipelineCase): StoredArrays => {
  const expected = expectedOf(c)
  return Object.assign(
    {},
    ...filesOf(c).map((_, i) =>
      Object.fromEntries(
        Object.entries(expected)
          .filter(([name]) => i === 0 || c.runs.some((r) => r.model === undefined && name.startsWith(`${r.name}/`)))
          .map(([name, array]) => [i === 0 ? name : `${name} from file ${i + 1}`, array]),
      ),
    ),
  )
}
