import { type Checked, collect, fail } from '../error.ts'
import type { Schedule } from '../experiment/schedule.ts'
import { clipTextModels } from '../nn/text/clip-config.ts'
import { E, pipe } from '../prelude.ts'
import type { ConditioningPart, OriginalModel, OriginalProcess } from '../published/compvis/index.ts'
import { originalPrefixes } from '../published/compvis/index.ts'
import type { Beside, PipelineDocument, PipelineSampling, TextPart } from './document.ts'

/** A published model as one of the original code. Errors (`config`): what that has no place for, by the document's fields. */

const ldm = 'ldm.models.diffusion.ddpm'

/** The class of a kind, by what lies beside x_t. */
const classes: { readonly [K in Beside['kind']]: Pick<OriginalModel, 'target' | 'concatKeys'> } = {
  'low-resolution': { target: `${ldm}.LatentDiffusion`, concatKeys: [] },
  'masked-latents': { target: `${ldm}.LatentDiffusion`, concatKeys: [] },
  'mask-and-latents': { target: `${ldm}.LatentInpaintDiffusion`, concatKeys: ['mask', 'masked_image'] },
  depth: { target: `${ldm}.LatentDepth2ImageDiffusion`, concatKeys: ['depth_mask'] },
  'picture-latents': { target: 'ldm.models.diffusion.ddpm_edit.LatentDiffusion', concatKeys: ['c_concat'] },
  'label-map': { target: `${ldm}.LatentDiffusion`, concatKeys: [] },
}
const plain = { target: `${ldm}.LatentDiffusion`, concatKeys: [] }
const layout = { target: `${ldm}.Layout2ImgDiffusion`, concatKeys: [] }
const engine = { target: 'sgm.models.diffusion.DiffusionEngine', concatKeys: [] }

const encoders = 'modules.encoders.modules'
type Made = Pick<ConditioningPart, 'target' | 'encoder' | 'key'>
/** A condition that is made by a part, rather than beside one. */
const besidePart = (beside: Beside): Made | undefined => {
  if (beside.kind === 'low-resolution')
    return { target: 'torch.nn.Identity', encoder: { kind: 'identity' }, key: 'LR_image' }
  if (beside.kind === 'masked-latents') return { target: '', encoder: { kind: 'first-stage' }, key: 'masked_image' }
  return beside.kind === 'label-map'
    ? {
        target: `ldm.${encoders}.SpatialRescaler`,
        encoder: { kind: 'rescaler', ...beside.rescaler, inChannels: beside.labels },
        key: 'segmentation',
      }
    : undefined
}

type Schedules = Pick<OriginalProcess, 'beta_schedule' | 'timesteps' | 'linear_start' | 'linear_end' | 'cosine_s'>
const betaNames = { 'scaled-linear': 'linear', linear: 'sqrt_linear', sqrt: 'sqrt' } as const
const ends = { linear_start: 1e-4, linear_end: 2e-2, cosine_s: 8e-3 }

const ofSchedule = (s: Schedule): Checked<Schedules> => {
  const { timesteps } = s
  if (s.kind === 'flow' || s.shift !== 1 || s.zeroTerminalSnr)
    return fail(
      'config',
      '/sampling/schedule',
      'one that says its betas, not shifted, not of zero terminal SNR',
      JSON.stringify(s),
    )
  if (s.kind === 'cosine') return E.right({ ...ends, beta_schedule: 'cosine', timesteps, cosine_s: s.offset })
  return s.kind === 'linear' || s.kind === 'scaled-linear' || s.kind === 'sqrt'
    ? E.right({
        ...ends,
        beta_schedule: betaNames[s.kind],
        timesteps,
        linear_start: s.betaStart,
        linear_end: s.betaEnd,
      })
    : fail('config', '/sampling/schedule/kind', [...Object.keys(betaNames), 'cosine'].join(' | '), s.kind)
}

type OfScheduler = Extract<PipelineSampling, { readonly by: 'diffusers' }>
const theirBetas = { scaled_linear: 'linear', linear: 'sqrt_linear', squaredcos_cap_v2: 'cosine' } as const
const ofScheduler = ({ scheduler, config: c }: OfScheduler): Checked<Schedules> => {
  const at = '/sampling/config'
  if (scheduler.startsWith('FlowMatch') || c.use_flow_sigmas)
    return fail('config', '/sampling/scheduler', 'a scheduler with betas', scheduler)
  if (c.trained_betas !== null)
    return fail('config', `${at}/trained_betas`, 'null', `${c.trained_betas.length} betas, which no name stands for`)
  return c.beta_schedule === 'sigmoid'
    ? fail('config', `${at}/beta_schedule`, Object.keys(theirBetas).join(' | '), c.beta_schedule)
    : E.right({
        beta_schedule: theirBetas[c.beta_schedule],
        timesteps: c.num_train_timesteps,
        linear_start: c.beta_start,
        linear_end: c.beta_end,
        cosine_s: ends.cosine_s,
      })
}
const schedulesOf = (s: PipelineSampling): Checked<Schedules> =>
  s.by === 'diffusers' ? ofScheduler(s) : ofSchedule(s.schedule)

/** The architecture of OpenCLIP that a transformer is, by its width. */
const architecture = (width: number): keyof typeof clipTextModels =>
  width === clipTextModels['ViT-bigG-14'].width ? 'ViT-bigG-14' : 'ViT-H-14'

/** A text encoder of the original code, and whether a layer that nothing reads stands behind its last. */
interface OriginalTextPart {
  readonly part: ConditioningPart
  readonly beyond: boolean
}

const textPart = (
  { encoder, skip, normalized, pooled }: TextPart,
  k: number,
  xl: boolean,
): Checked<OriginalTextPart> => {
  const at = `/conditioning/text/${k}`
  const prefix = xl ? `conditioner.embedders.${k}.` : originalPrefixes.conditioning
  const tells = pooled ? (['context', 'vector'] as const) : (['context'] as const)
  const made = (target: string, own: ConditioningPart['encoder'], key: string, beyond = false): OriginalTextPart => ({
    part: { target: `${xl ? 'sgm' : 'ldm'}.${encoders}.${target}`, encoder: own, key, prefix, tells },
    beyond,
  })
  if (encoder.kind === 'bert') {
    const { config } = encoder
    return xl
      ? fail('config', `${at}/encoder/kind`, '"clip", beside sizes', 'bert')
      : E.right(made('BERTEmbedder', { kind: 'bert', ...config, tokenises: true }, 'caption'))
  }
  if (encoder.kind === 't5') return fail('config', `${at}/encoder/kind`, '"clip" | "bert"', encoder.kind)
  const { width, layers, positions, activation } = encoder.config
  const common = { positions, pools: pooled }
  if (activation === 'quick_gelu')
    return normalized && skip > 0
      ? fail('config', `${at}/skip`, '0 where the state is normalised', `${skip}`)
      : E.right(
          made(
            'FrozenCLIPEmbedder',
            {
              kind: 'clip',
              version: 'openai/clip-vit-large-patch14',
              state: normalized ? { layer: -1, normalised: true } : { layer: layers - skip, normalised: false },
              ...common,
            },
            'txt',
          ),
        )
  const version = architecture(width)
  const whole = clipTextModels[version].width === width && clipTextModels[version].layers === layers
  // Of Stable Diffusion 2 diffusers has the layers that are read alone.
  const beyond = normalized && skip === 0 && !whole && !pooled
  const layer = beyond ? -2 : -1 - skip
  return layer < -2 || (!normalized && (!xl || layer === -1))
    ? fail('config', `${at}/skip`, 'a state that OpenCLIP tells: the last, or the one before it', `${skip}`)
    : E.right(
        made(
          xl ? 'FrozenOpenCLIPEmbedder2' : 'FrozenOpenCLIPEmbedder',
          { kind: 'open-clip', version, state: { layer, normalised: normalized }, ...common },
          'txt',
          beyond,
        ),
      )
}

/** How pleasing a picture is. */
export const aestheticKey = 'aesthetic_score'
const anySize = ['original_size_as_tuple', 'crop_coords_top_left'] as const
/** Of the numbers that are embedded, by what the last of them are. */
export const sizeKeys = { target: [...anySize, 'target_size_as_tuple'], aesthetic: [...anySize, aestheticKey] } as const

const partsOf = (d: PipelineDocument, xl: boolean): Checked<readonly OriginalTextPart[]> => {
  const { text, classes: labels, boxes, beside, sizes } = d.conditioning
  const alone = (part: Omit<ConditioningPart, 'prefix'>): OriginalTextPart => ({
    part: { ...part, prefix: originalPrefixes.conditioning },
    beyond: false,
  })
  const made = beside === null ? undefined : besidePart(beside)
  return pipe(
    collect(text.map((part, k) => textPart(part, k, xl))),
    E.map((texts) => [
      ...texts,
      ...(labels === null
        ? []
        : [
            alone({
              target: `ldm.${encoders}.ClassEmbedder`,
              encoder: { kind: 'classes', ...labels },
              key: 'class_label',
              tells: ['context'],
            }),
          ]),
      ...(boxes === null
        ? []
        : [
            alone({
              target: `ldm.${encoders}.BERTEmbedder`,
              encoder: { kind: 'bert', ...boxes.encoder, tokenises: false },
              key: 'coordinates_bbox',
              tells: ['context'],
            }),
          ]),
      // Labels that the U-Net embeds itself.
      ...(d.unet.classes === null
        ? []
        : [
            alone({
              target: 'torch.nn.Identity',
              encoder: { kind: 'identity' },
              key: 'class_label',
              tells: ['labels'],
            }),
          ]),
      ...(made === undefined ? [] : [alone({ ...made, tells: ['beside'] })]),
      ...(sizes === null
        ? []
        : sizeKeys[sizes.aesthetic ? 'aesthetic' : 'target'].map(
            (key, i): OriginalTextPart => ({
              part: {
                target: `sgm.${encoders}.ConcatTimestepEmbedderND`,
                encoder: { kind: 'sizes', dim: sizes.dim },
                key,
                prefix: `conditioner.embedders.${text.length + i}.`,
                tells: ['vector'],
              },
              beyond: false,
            }),
          )),
    ]),
  )
}

export interface AsOriginal {
  readonly model: OriginalModel
  /** Of the encoders of texts, in their order: whether a layer that nothing reads stands behind their last. */
  readonly beyond: readonly boolean[]
}

export const asOriginal = (d: PipelineDocument): Checked<AsOriginal> => {
  const { firstStage: stage, conditioning, predicts } = d
  const xl = conditioning.sizes !== null || conditioning.text.length > 1
  const alone = xl ? engine : conditioning.boxes === null ? plain : layout
  const kind = conditioning.beside === null ? alone : classes[conditioning.beside.kind]
  if (stage.kind === 'tiny' || stage.kind === 'pixels')
    return fail('config', '/firstStage/kind', '"kl" | "vq"', stage.kind)
  if (stage.shift !== 0) return fail('config', '/firstStage/shift', '0', `${stage.shift}`)
  if (predicts === 'flow') return fail('config', '/predicts', '"eps" | "x0" | "v"', predicts)
  if (xl && kind !== engine)
    return fail('config', '/conditioning/beside', 'null, beside sizes', `${conditioning.beside?.kind}`)
  return pipe(
    E.Do,
    E.bind('schedules', () => schedulesOf(d.sampling)),
    E.bind('parts', () => partsOf(d, xl)),
    E.map(({ schedules, parts }) => ({
      model: {
        ...kind,
        unet: d.unet,
        firstStage: {
          autoencoder: stage.network,
          ...(stage.kind === 'vq' ? { codebook: stage.entries } : {}),
        },
        conditioning: parts.map(({ part }) => part),
        firstStageKey: xl ? 'jpg' : 'image',
        process: {
          ...schedules,
          predicts,
          scaleFactor: stage.scale,
          scaleByStd: stage.measured,
          useEma: false,
          imageSize: d.side,
          channels: stage.network.latentChannels,
        },
      },
      beyond: parts.slice(0, conditioning.text.length).map(({ beyond }) => beyond),
    })),
  )
}
