import { type Checked, fail } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import type { Encoder } from './conditioning.ts'
import { type ConditioningPart, diffusionModels, type OriginalModel } from './model.ts'
import type { OriginalProcess } from './process.ts'
import type { Json } from './reader.ts'
import { type Code, originalFirstStage, originalUNet, refused, sound } from './write-networks.ts'

/** A model as a configuration of the original code, which `originalModel` reads back. */

type Of<K extends Encoder['kind']> = Extract<Encoder, { readonly kind: K }>

/** What OpenCLIP's weights are called by their architecture, as the published models have them. */
const pretrained: Readonly<Record<string, string>> = { 'ViT-bigG-14': 'laion2b_s39b_b160k' }

const openAi = 'openai/clip-vit-large-patch14'
const clipState = (e: Of<'clip'>): Json => ({
  ...(e.version === openAi ? {} : { version: e.version }),
  ...(e.state === 'pooled'
    ? { layer: 'pooled' }
    : e.state.normalised
      ? {}
      : { layer: 'hidden', layer_idx: e.state.layer }),
  ...(e.positions === 77 ? {} : { max_length: e.positions }),
  ...(e.pools ? { always_return_pooled: true } : {}),
})
const openClipState = (e: Of<'open-clip'>, code: Code): Json => ({
  ...(code === 'ldm' && e.version === 'ViT-H-14' ? {} : { arch: e.version }),
  ...(code === 'sgm' && pretrained[e.version] !== undefined ? { version: pretrained[e.version] } : {}),
  freeze: true,
  layer: e.state !== 'pooled' && e.state.layer === -1 ? 'last' : 'penultimate',
  ...(e.positions === 77 ? {} : { max_length: e.positions }),
  ...(code === 'sgm'
    ? { always_return_pooled: e.pools, legacy: e.state !== 'pooled' && e.state.layer !== -1 && e.state.normalised }
    : {}),
})

const encoders: { readonly [K in Encoder['kind']]: (e: Of<K>, code: Code, key: string) => Json | string } = {
  classes: ({ entries, dim }, _, key) => ({ n_classes: entries, embed_dim: dim, key }),
  clip: (e) => clipState(e),
  'open-clip': (e, code) => openClipState(e, code),
  bert: ({ width, layers, vocabulary, positions, tokenises }) => ({
    n_embed: width,
    n_layer: layers,
    vocab_size: vocabulary,
    ...(positions === 77 ? {} : { max_seq_len: positions }),
    ...(tokenises ? {} : { use_tokenizer: false }),
  }),
  rescaler: (e) => ({
    n_stages: e.stages,
    method: e.method,
    multiplier: e.factor,
    in_channels: e.inChannels,
    ...(e.outChannels === null ? {} : { out_channels: e.outChannels }),
    ...(e.bias ? { bias: true } : {}),
  }),
  sizes: ({ dim }) => ({ outdim: dim }),
  identity: () => ({}),
  'first-stage': () => '__is_first_stage__',
  notBuilt: () => ({}),
}
const row = <K extends Encoder['kind']>(kind: K, e: Of<K>, code: Code, key: string): Json | string =>
  encoders[kind](e, code, key)

/** Of the class that it was read from. Errors (`config`): one whose arguments are not known. */
const encoderDocument = ({ encoder: e, target, key }: ConditioningPart, code: Code): Checked<Json | string> => {
  if (e.kind === 'notBuilt')
    return fail('config', '/conditioning', 'an encoder that is built', target, 'its arguments are not known here')
  const params = row(e.kind, e, code, key)
  return E.right(typeof params === 'string' ? params : { target, params })
}

/** How conditions reach the network. */
const conditioningKey = (part: ConditioningPart, concatKeys: readonly string[]): string =>
  part.tells.includes('beside')
    ? 'concat'
    : part.tells.includes('labels')
      ? 'adm'
      : concatKeys.length > 0
        ? 'hybrid'
        : 'crossattn'

/** What the class of a kind asks for beside. */
const ofClass: Readonly<Record<string, Json>> = {
  // Its constructor would look for weights to change unless there are none to.
  'ldm.models.diffusion.ddpm.LatentInpaintDiffusion': { finetune_keys: null },
  'ldm.models.diffusion.ddpm.LatentDepth2ImageDiffusion': {
    finetune_keys: null,
    depth_stage_config: { target: 'ldm.modules.midas.api.MiDaSInference', params: { model_type: 'dpt_hybrid' } },
  },
}

const cosine = (p: OriginalProcess): Json => (p.beta_schedule === 'cosine' ? { cosine_s: p.cosine_s } : {})
const processDocument = (p: OriginalProcess): Json => ({
  beta_schedule: p.beta_schedule,
  timesteps: p.timesteps,
  linear_start: p.linear_start,
  linear_end: p.linear_end,
  ...cosine(p),
  parameterization: p.predicts,
  scale_factor: p.scaleFactor,
  ...(p.scaleByStd ? { scale_by_std: true } : {}),
  use_ema: p.useEma,
  ...(p.imageSize === null ? {} : { image_size: p.imageSize }),
  ...(p.channels === null ? {} : { channels: p.channels }),
})

/** Side of the latents of the pictures that a first stage is made for. */
const sideOf = ({ firstStage: { autoencoder: c } }: OriginalModel): number =>
  Math.max(1, Math.floor(c.resolution / 2 ** (c.channelMultipliers.length - 1)))

const latentDiffusion = (m: OriginalModel): Checked<Json> => {
  const [part, ...more] = m.conditioning
  return pipe(
    E.Do,
    E.bind('unet_config', () => originalUNet(m.unet, 'ldm', sideOf(m))),
    E.bind('first_stage_config', () => originalFirstStage(m.firstStage, 'ldm')),
    E.bind('cond_stage_config', () =>
      part === undefined ? E.right('__is_unconditional__') : encoderDocument(part, 'ldm'),
    ),
    E.flatMap((configs) =>
      sound([
        ...refused(more.length === 0, '/conditioning', 'one encoder', `${m.conditioning.length}`),
        ...refused(m.controlNet === undefined, '/controlNet', 'none beside the model', 'one'),
      ])(() => ({
        target: m.target,
        params: {
          ...processDocument(m.process),
          first_stage_key: m.firstStageKey,
          ...(part === undefined
            ? { concat_mode: false }
            : { cond_stage_key: part.key, conditioning_key: conditioningKey(part, m.concatKeys) }),
          ...ofClass[m.target],
          ...configs,
        },
      })),
    ),
  )
}

const denoising = 'sgm.modules.diffusionmodules'
const engine = (m: OriginalModel): Checked<Json> => {
  const { process: p } = m
  return pipe(
    E.Do,
    E.bind('network_config', () => originalUNet(m.unet, 'sgm', sideOf(m))),
    E.bind('first_stage_config', () => originalFirstStage(m.firstStage, 'sgm')),
    E.bind('emb_models', () =>
      pipe(
        m.conditioning,
        E.traverseArray((part) =>
          pipe(
            encoderDocument(part, 'sgm'),
            E.map((document) => ({
              is_trainable: false,
              input_key: part.key,
              ...(typeof document === 'string' ? {} : document),
            })),
          ),
        ),
      ),
    ),
    E.flatMap(({ emb_models, ...configs }) =>
      sound([
        ...refused(p.predicts !== 'x0', '/predicts', '"eps" or "v"', p.predicts),
        ...refused(p.beta_schedule === 'linear', '/schedule', 'betas whose roots are linear', p.beta_schedule),
        ...refused(m.concatKeys.length === 0, '/conditioning/beside', 'null', m.concatKeys),
      ])(() => ({
        target: m.target,
        params: {
          scale_factor: p.scaleFactor,
          disable_first_stage_autocast: true,
          ...(p.useEma ? { use_ema: true } : {}),
          input_key: m.firstStageKey,
          denoiser_config: {
            target: `${denoising}.denoiser.DiscreteDenoiser`,
            params: {
              num_idx: p.timesteps,
              scaling_config: { target: `${denoising}.denoiser_scaling.${p.predicts === 'v' ? 'V' : 'Eps'}Scaling` },
              discretization_config: {
                target: `${denoising}.discretizer.LegacyDDPMDiscretization`,
                params: { linear_start: p.linear_start, linear_end: p.linear_end, num_timesteps: p.timesteps },
              },
            },
          },
          conditioner_config: { target: 'sgm.modules.GeneralConditioner', params: { emb_models } },
          ...configs,
        },
      })),
    ),
  )
}

/** `{ model: { target, params } }`. Errors (`config`): what the original code has no place for, by our names. */
export const originalDocument = (m: OriginalModel): Checked<Json> =>
  pipe(
    !Object.hasOwn(diffusionModels, m.target)
      ? fail('config', '/target', Object.keys(diffusionModels).join(' | '), m.target)
      : m.target.startsWith('sgm.')
        ? engine(m)
        : latentDiffusion(m),
    E.map((model) => ({ model })),
  )
