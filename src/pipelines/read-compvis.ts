import { boxTokensOf } from '../data/boxes.ts'
import { type Checked, type Effect, effect, fail, failure } from '../error.ts'
import { processOf } from '../experiment/process.ts'
import { noiseSchedule, type Schedule } from '../experiment/schedule.ts'
import { keyIn, type Naming } from '../io/load-report.ts'
import type { UnreadArray, UnreadArrays } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type OriginalModel, originalModel, originalPrefixes, rescalerOf, wholly } from '../published/compvis/index.ts'
import { noiseScheduleFromCompVis } from '../schedulers/compvis.ts'
import { decode } from '../schema.ts'
import { aestheticKey, sizeKeys } from './as-original.ts'
import { type Beside, type PipelineDocument, pipelineDocument } from './document.ts'
import { type OriginalText, originalTexts, type TextOptions, tokenizerFolders } from './original-texts.ts'
import { tokenizersOf } from './read-diffusers.ts'
import type { ReadModel } from './read-model.ts'
import { originalLayouts, partsOf } from './read-single-file.ts'

/** CompVis' and Stability's own checkpoints with their configurations. */

type Json = Readonly<Record<string, unknown>>
const isObject = (u: unknown): u is Json => typeof u === 'object' && u !== null && !Array.isArray(u)

/** Which channels come beside x_t, by the keys of the data that they are made of. */
const besides: Readonly<Record<string, (channels: number) => Beside>> = {
  LR_image: (channels) => ({ kind: 'low-resolution', channels }),
  masked_image: () => ({ kind: 'masked-latents' }),
  'mask, masked_image': () => ({ kind: 'mask-and-latents' }),
  depth_mask: () => ({ kind: 'depth' }),
  c_concat: () => ({ kind: 'picture-latents' }),
}

const mostLabels = 256
/** Label maps made small: they must become as large as the latents, and as many channels as the network takes. */
const labelMapOf = (m: OriginalModel, more: number, r: Parameters<typeof rescalerOf>[0]): Checked<Beside> => {
  const at = '/model/params/cond_stage_config/params'
  const factor = 2 ** (m.firstStage.autoencoder.channelMultipliers.length - 1)
  const channels = r.outChannels ?? r.inChannels
  return r.factor ** r.stages * factor !== 1
    ? fail(
        'config',
        `${at}/n_stages`,
        `1/${factor} of the picture's sides, as the latents have`,
        `${r.factor ** r.stages}`,
      )
    : channels !== more
      ? fail('config', `${at}/out_channels`, `${more}, as the U-Net takes beside the latents`, `${channels}`)
      : r.inChannels < 2 || r.inChannels > mostLabels
        ? fail('config', `${at}/in_channels`, `2 to ${mostLabels} labels`, `${r.inChannels}`)
        : E.right({
            kind: 'label-map',
            labels: r.inChannels,
            rescaler: rescalerOf(r),
          })
}

const besideOf = (m: OriginalModel): Checked<Beside | null> => {
  const more = m.unet.inChannels - m.firstStage.autoencoder.latentChannels
  const [rescaler] = m.conditioning.flatMap(({ encoder, key }) =>
    encoder.kind === 'rescaler' && key === 'segmentation' ? [encoder] : [],
  )
  if (rescaler !== undefined) return labelMapOf(m, more, rescaler)
  const keys = [
    ...m.conditioning.filter(({ tells }) => tells.includes('beside')).map(({ key }) => key),
    ...(m.concatKeys.length === 0 ? [] : [m.concatKeys.join(', ')]),
  ]
  // InstructPix2Pix has the class of latent diffusion, and its picture under this key.
  const [key = more === 4 ? 'c_concat' : undefined] = keys
  const found = key === undefined ? undefined : besides[key]?.(more)
  return more === 0
    ? E.right(null)
    : found === undefined
      ? fail(
          'config',
          '/model/params/cond_stage_key',
          [...Object.keys(besides), 'segmentation'].join(' | '),
          `${key ?? 'nothing'}, as ${more} channels beside the latents`,
          'no picture can be drawn from this kind yet',
        )
      : E.right(found)
}

const averages: Naming = { prefix: originalPrefixes.average, dotless: true }
const averageName = (name: string): string => keyIn(averages)(`diffusion_model.${name}`)

/** What a checkpoint says of itself, which wins over its configuration. */
interface Buffers {
  readonly scale: number | undefined
  readonly alphasCumprod: readonly number[] | undefined
}
const numbersOf = (array: UnreadArray | undefined): Effect<readonly number[] | undefined> =>
  array === undefined
    ? TE.right(undefined)
    : pipe(
        array.read,
        TE.map(({ data }) => Array.from<number | bigint, number>(data, Number)),
      )

/** The alpha-bars of a schedule as a checkpoint in float32 has them. */
const ownAlphas = (schedule: Schedule): Checked<readonly number[]> =>
  pipe(
    processOf(schedule),
    E.map((made) => made.schedule?.alphasCumprod.map(Math.fround) ?? []),
  )

/** Apart by more than rounding. */
const differs = (a: readonly number[], b: readonly number[]): boolean =>
  a.some((x, i) => Math.abs(x - (b[i] ?? 0)) > 1e-6 * x)

/** Stability's later code has no samplers of CompVis: the scheduler that the models are published with. */
const samplingOf = (m: OriginalModel, schedule: Schedule, alphasCumprod: readonly number[] | undefined): unknown =>
  m.target.startsWith('sgm.')
    ? {
        by: 'diffusers',
        scheduler: 'EulerDiscreteScheduler',
        config: {
          beta_schedule: 'scaled_linear',
          beta_start: m.process.linear_start,
          beta_end: m.process.linear_end,
          num_train_timesteps: m.process.timesteps,
          prediction_type: m.process.predicts === 'v' ? 'v_prediction' : 'epsilon',
          steps_offset: 1,
          timestep_spacing: 'leading',
        },
      }
    : {
        by: 'compvis',
        schedule,
        sampler: m.process.predicts === 'eps' && m.conditioning.some(({ key }) => key === 'txt') ? 'plms' : 'ddim',
        ...(alphasCumprod === undefined ? {} : { alphasCumprod }),
      }

const sizesOf = (m: OriginalModel): Checked<PipelineDocument['conditioning']['sizes']> => {
  const parts = m.conditioning.flatMap(({ encoder, key }) =>
    encoder.kind === 'sizes' ? [{ key, dim: encoder.dim }] : [],
  )
  const [first] = parts
  const keys = parts.map(({ key }) => key).join(', ')
  const known = (['target', 'aesthetic'] as const).find((name) => sizeKeys[name].join(', ') === keys)
  return first === undefined
    ? E.right(null)
    : known === undefined
      ? fail(
          'config',
          '/model/params/conditioner_config',
          Object.values(sizeKeys)
            .map((own) => own.join(', '))
            .join(' | '),
          keys,
        )
      : E.right({ dim: first.dim, aesthetic: known === 'aesthetic' })
}

const classesOf = (m: OriginalModel): { readonly entries: number; readonly dim: number } | null => {
  const [found] = m.conditioning.flatMap(({ encoder }) => (encoder.kind === 'classes' ? [encoder] : []))
  return found === undefined ? null : { entries: found.entries, dim: found.dim }
}

const boxesKey = 'coordinates_bbox'
/** Boxes as tokens. Errors (`config`): tokens of something else, or so many that they are no boxes. */
const boxesOf = (m: OriginalModel): Checked<PipelineDocument['conditioning']['boxes']> => {
  const [found] = m.conditioning.flatMap(({ encoder, key }) =>
    encoder.kind === 'bert' && !encoder.tokenises ? [{ encoder, key }] : [],
  )
  if (found === undefined) return E.right(null)
  const { kind: _, tokenises: __, ...encoder } = found.encoder
  return found.key !== boxesKey
    ? fail('config', '/model/params/cond_stage_key', `"${boxesKey}", of tokens that are no words`, found.key)
    : boxTokensOf(encoder.positions, encoder.vocabulary) === undefined
      ? fail(
          'config',
          '/model/params/cond_stage_config/params/max_seq_len',
          'three tokens a box, and none or two of the frame behind them',
          `${encoder.positions}`,
        )
      : E.right({ encoder })
}

const modelName = (m: OriginalModel): string =>
  m.target.startsWith('sgm.')
    ? m.conditioning.some(({ key }) => key === aestheticKey)
      ? 'Stable Diffusion XL refiner'
      : 'Stable Diffusion XL'
    : m.conditioning.some(({ encoder }) => encoder.kind === 'clip' || encoder.kind === 'open-clip')
      ? 'Stable Diffusion'
      : 'latent diffusion'

const documentOf = (m: OriginalModel, { scale, alphasCumprod }: Buffers, text: readonly OriginalText[]) =>
  pipe(
    E.Do,
    E.bind('schedule', () =>
      pipe(
        noiseScheduleFromCompVis(m.process),
        // Of the reverse step, which its samplers do not take.
        E.flatMap(({ vPosterior: _, ...declared }) => decode(noiseSchedule)(declared)),
      ),
    ),
    E.bind('alphas', ({ schedule }) => ownAlphas(schedule)),
    E.bind('beside', () => besideOf(m)),
    E.bind('sizes', () => sizesOf(m)),
    E.bind('boxes', () => boxesOf(m)),
    E.flatMap(({ schedule, alphas, beside, sizes, boxes }) => {
      const { autoencoder: network, codebook } = m.firstStage
      const other = alphasCumprod !== undefined && differs(alphasCumprod, alphas) ? alphasCumprod : undefined
      return decode(pipelineDocument)({
        model: modelName(m),
        firstStage: {
          ...(codebook === undefined ? { kind: 'kl' } : { kind: 'vq', entries: codebook }),
          network,
          scale: scale ?? m.process.scaleFactor,
          measured: scale !== undefined,
        },
        unet: m.unet,
        side:
          m.process.imageSize ??
          Math.max(1, Math.floor(network.resolution / 2 ** (network.channelMultipliers.length - 1))),
        predicts: m.process.predicts,
        conditioning: {
          text: text.map(({ part }) => part),
          classes: classesOf(m),
          boxes,
          beside,
          sizes,
          zerosForNothing: sizes !== null && !sizes.aesthetic,
        },
        sampling: samplingOf(m, schedule, other),
        guidance: classesOf(m) !== null ? 3 : sizes !== null ? 5 : text.length > 0 ? 7.5 : 1,
      })
    }),
  )

const remarksOf = (
  { sampling, firstStage }: PipelineDocument,
  averaged: boolean,
  scaled: boolean,
): readonly string[] => [
  ...(averaged ? ['the U-Net is that of the averages, as use_ema says'] : []),
  ...(sampling.by === 'compvis' && sampling.alphasCumprod !== null
    ? ['levels of noise as the checkpoint has them, which are rounded']
    : []),
  ...(scaled && firstStage.kind !== 'pixels'
    ? [`latents are multiplied by ${firstStage.scale}, as the checkpoint says`]
    : []),
]

/** A checkpoint's arrays with its configuration as a model that can be drawn from. Errors: `config`, `file`. */
export const readCompVis = (
  path: string,
  config: unknown,
  found: UnreadArrays,
  options: TextOptions,
): Effect<ReadModel> =>
  effect(async (run) => {
    if (!isObject(config)) return run(TE.left([failure('config', path, 'a configuration', 'no object')]))
    const m = await run(TE.fromEither(pipe(originalModel(config), E.flatMap(wholly))))
    const [scale] = (await run(numbersOf(found.scale_factor))) ?? []
    const alphasCumprod = await run(numbersOf(found.alphas_cumprod))
    const texts = await run(TE.fromEither(originalTexts(m, found, options)))
    const document = await run(TE.fromEither(documentOf(m, { scale, alphasCumprod }, texts)))
    const folders = tokenizerFolders(options)
    const tokenizers = await run(tokenizersOf(document, folders))
    const averaged = m.process.useEma && Object.keys(found).some((key) => key.startsWith(averages.prefix))
    const layouts = await run(TE.fromEither(originalLayouts(document, found)))
    const { weights, leftOver } = await run(
      TE.fromEither(
        partsOf(
          path,
          document,
          averaged ? { ...layouts, unet: (name) => ({ key: averageName(name) }) } : layouts,
          found,
        ),
      ),
    )
    // Where the first stage encodes the condition, its arrays are there a second time.
    const twice = m.conditioning.some(({ encoder }) => encoder.kind === 'first-stage')
    const isTwice = (key: string): boolean =>
      key.startsWith(originalPrefixes.conditioning) &&
      Object.hasOwn(found, originalPrefixes.firstStage + key.slice(originalPrefixes.conditioning.length))
    const other = averaged ? originalPrefixes.unet : averages.prefix
    return {
      document,
      tokenizers,
      folders,
      weights,
      leftOver: leftOver.filter((key) => !key.startsWith(other) && !(twice && isTwice(key))),
      remarks: [
        ...remarksOf(document, averaged, scale !== undefined),
        ...texts.flatMap(({ remark }) => (remark === undefined ? [] : [remark])),
      ],
    }
  })
