import { type Checked, fail, type LatentError } from '../../error.ts'
import { type AutoencoderConfig, publishedAutoencoder, publishedUNet } from '../../nn/index.ts'
import { E, pipe, RNEA } from '../../prelude.ts'
import {
  anything,
  type Codec,
  decode,
  didYouMean,
  flag,
  integer,
  number,
  record,
  text,
  withDefault,
  word,
} from '../../schema.ts'
import type { ConditioningStage, PublishedLoss, PublishedModel } from '../published.ts'

/** Configurations of CompVis' latent-diffusion, `target` by `target`, as published models. */

type Json = Readonly<Record<string, unknown>>
const isObject = (u: unknown): u is Json => typeof u === 'object' && u !== null && !Array.isArray(u)

/** Reads the `params` of one target; errors begin with `base`. */
type Reader<A> = (params: unknown, base: string) => Checked<A>

const withoutNulls = (u: unknown): unknown =>
  isObject(u) ? Object.fromEntries(Object.entries(u).filter(([, v]) => v !== null)) : u
/** An argument that is null is one left out. */
const reading =
  <A>(codec: Codec<A>): Reader<A> =>
  (params, base) =>
    pipe(params, withoutNulls, decode(codec, { base }))

const instance = reading(
  record(
    { target: text },
    { params: withDefault(anything, {}) },
    { base_learning_rate: number({ min: -1e6, max: 1e6 }) },
  ),
)

/** `other` reads targets that the table lacks; without it they are refused. */
const byTarget =
  <A>(table: Readonly<Record<string, Reader<A>>>, other?: (target: string) => A): Reader<A> =>
  (u, base) =>
    pipe(
      instance(u, base),
      E.flatMap(({ target, params }) => {
        const reader = Object.hasOwn(table, target) ? table[target] : undefined
        const names = Object.keys(table)
        return reader !== undefined
          ? reader(params, `${base}/params`)
          : other !== undefined
            ? E.right(other(target))
            : fail('config', `${base}/target`, names.join(' | '), JSON.stringify(target), didYouMean(target, names))
      }),
    )

const positive = integer({ min: 1, max: 2 ** 20 })
const weight = number({ min: -1e6, max: 1e6 })
const contest = {
  disc_conditional: withDefault(flag, false),
  disc_factor: withDefault(weight, 1),
  disc_in_channels: withDefault(positive, 3),
  disc_loss: withDefault(word(['hinge', 'vanilla']), 'hinge'),
  disc_num_layers: withDefault(integer({ min: 1, max: 32 }), 3),
  disc_weight: withDefault(weight, 1),
  perceptual_weight: withDefault(weight, 1),
  pixelloss_weight: withDefault(weight, 1),
  use_actnorm: withDefault(flag, false),
}
const disc_start = number({ min: 0, max: 1e12 })
const klLoss = record(
  { disc_start },
  { ...contest, kl_weight: withDefault(weight, 1), logvar_init: withDefault(weight, 0) },
)
const vqLoss = record(
  { disc_start },
  {
    ...contest,
    codebook_weight: withDefault(weight, 1),
    disc_ndf: withDefault(positive, 64),
    perceptual_loss: withDefault(word(['lpips']), 'lpips'),
    pixel_loss: withDefault(word(['l1', 'l2']), 'l1'),
  },
  { n_classes: positive },
)

interface Contest {
  readonly disc_conditional: boolean
  readonly disc_in_channels: number
  readonly disc_num_layers: number
  readonly use_actnorm: boolean
  /** The reference's KL loss takes no other than 64. */
  readonly disc_ndf?: number
}
type LossReader = (colours: number) => Reader<PublishedLoss | undefined>

const lossReader =
  (read: Reader<Contest>): LossReader =>
  (colours) =>
  (params, base) =>
    pipe(
      read(params, base),
      E.flatMap((p) => {
        const conditionChannels = p.disc_in_channels - colours
        return conditionChannels === 0 || (p.disc_conditional && conditionChannels > 0)
          ? E.right({
              discriminator: {
                channels: p.disc_ndf ?? 64,
                layers: p.disc_num_layers,
                norm: p.use_actnorm ? ('act' as const) : ('batch' as const),
              },
              conditionChannels,
            })
          : fail(
              'config',
              `${base}/disc_in_channels`,
              p.disc_conditional ? `at least the ${colours} of the pictures` : `${colours}, as the pictures have`,
              `${p.disc_in_channels}`,
            )
      }),
    )

/** In place of a loss, where a model is not to be trained. */
const nothing: LossReader = () => () => E.right(undefined)
const untrained: Readonly<Record<string, LossReader>> = {
  'torch.nn.Identity': nothing,
  'ldm.modules.losses.contperceptual.DummyLoss': nothing,
  'taming.modules.losses.vqperceptual.DummyLoss': nothing,
}
const klLosses: Readonly<Record<string, LossReader>> = {
  ...untrained,
  'ldm.modules.losses.LPIPSWithDiscriminator': lossReader(reading(klLoss)),
  'ldm.modules.losses.contperceptual.LPIPSWithDiscriminator': lossReader(reading(klLoss)),
}
const vqLosses: Readonly<Record<string, LossReader>> = {
  ...untrained,
  'taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator': lossReader(reading(vqLoss)),
  'ldm.modules.losses.vqperceptual.VQLPIPSWithDiscriminator': lossReader(reading(vqLoss)),
}

const validation = E.getApplicativeValidation(RNEA.getSemigroup<LatentError>())

type FirstStage = Pick<PublishedModel, 'autoencoder' | 'codebook' | 'loss'>

const firstStage = { ddconfig: anything, embed_dim: positive, lossconfig: anything }
const unheeded = {
  ckpt_path: text,
  ignore_keys: anything,
  image_key: text,
  monitor: text,
}
const klStage = record(firstStage, {}, unheeded)
const vqStage = record(
  { ...firstStage, n_embed: positive },
  {},
  {
    ...unheeded,
    batch_resize_range: anything,
    lr_g_factor: weight,
    sane_index_shape: flag,
    scheduler_config: anything,
    use_ema: flag,
  },
)

interface StageParams {
  readonly ddconfig: unknown
  readonly embed_dim: number
  readonly lossconfig: unknown
  readonly n_embed?: number
}
const latents = (c: AutoencoderConfig, doubled: boolean, base: string): Checked<AutoencoderConfig> =>
  c.doubleZ === doubled
    ? E.right(c)
    : fail('config', `${base}/ddconfig/double_z`, `${doubled}, as for this target`, `${c.doubleZ}`)

const stageReader =
  (read: Reader<StageParams>, losses: Readonly<Record<string, LossReader>>, doubled: boolean): Reader<FirstStage> =>
  (params, base) =>
    pipe(
      read(params, base),
      E.flatMap((p) => {
        const colours = isObject(p.ddconfig) ? Number(p.ddconfig.out_ch) : 0
        const readers = Object.fromEntries(Object.entries(losses).map(([target, of]) => [target, of(colours)]))
        return validation.ap(
          validation.map(
            pipe(
              publishedAutoencoder(p.ddconfig, p.embed_dim, `${base}/ddconfig`),
              E.flatMap((c) => latents(c, doubled, base)),
            ),
            (autoencoder) =>
              (loss: PublishedLoss | undefined): FirstStage => ({
                autoencoder,
                ...(p.n_embed === undefined ? {} : { codebook: p.n_embed }),
                ...(loss === undefined ? {} : { loss }),
              }),
          ),
          byTarget(readers)(p.lossconfig, `${base}/lossconfig`),
        )
      }),
    )

const firstStages: Readonly<Record<string, Reader<FirstStage>>> = {
  'ldm.models.autoencoder.AutoencoderKL': stageReader(reading(klStage), klLosses, true),
  'ldm.models.autoencoder.VQModel': stageReader(reading(vqStage), vqLosses, false),
  'ldm.models.autoencoder.VQModelInterface': stageReader(reading(vqStage), vqLosses, false),
}

const classEmbedder = record(
  { embed_dim: positive },
  { n_classes: withDefault(positive, 1000), key: withDefault(text, 'class') },
)
const conditioningStages: Readonly<Record<string, Reader<ConditioningStage>>> = {
  'ldm.modules.encoders.modules.ClassEmbedder': (params, base) =>
    pipe(
      reading(classEmbedder)(params, base),
      E.map(({ n_classes, embed_dim }) => ({ kind: 'classes', classes: n_classes, dim: embed_dim })),
    ),
  'torch.nn.Identity': () => E.right({ kind: 'identity' }),
}
/** In place of a stage: no condition, or the first stage's latents of one. */
const noStage: readonly unknown[] = ['__is_unconditional__', '__is_first_stage__', undefined]
const conditioning: Reader<ConditioningStage | undefined> = (u, base) =>
  noStage.includes(u)
    ? E.right(undefined)
    : byTarget(conditioningStages, (target): ConditioningStage => ({ kind: 'notBuilt', target }))(u, base)

/** Of the process, not of the networks. */
const process = [
  ...['timesteps', 'beta_schedule', 'loss_type', 'ckpt_path', 'ignore_keys', 'load_only_unet', 'monitor', 'use_ema'],
  ...['first_stage_key', 'cond_stage_key', 'image_size', 'channels', 'log_every_t', 'clip_denoised', 'linear_start'],
  ...['linear_end', 'cosine_s', 'given_betas', 'original_elbo_weight', 'v_posterior', 'l_simple_weight'],
  ...['conditioning_key', 'parameterization', 'scheduler_config', 'use_positional_encodings', 'learn_logvar'],
  ...['logvar_init', 'num_timesteps_cond', 'cond_stage_trainable', 'concat_mode', 'cond_stage_forward', 'scale_factor'],
  ...['scale_by_std'],
]
const latentDiffusion = record(
  { unet_config: anything, first_stage_config: anything },
  {},
  { cond_stage_config: anything, ...Object.fromEntries(process.map((name) => [name, anything])) },
)
const unets = { 'ldm.modules.diffusionmodules.openaimodel.UNetModel': publishedUNet }

const diffusion: Reader<PublishedModel> = (params, base) =>
  pipe(
    reading(latentDiffusion)(params, base),
    E.flatMap((p) => {
      const parts = validation.map(
        byTarget(firstStages)(p.first_stage_config, `${base}/first_stage_config`),
        (first) => (unet: NonNullable<PublishedModel['unet']>) => (stage: ConditioningStage | undefined) => ({
          ...first,
          unet,
          ...(stage === undefined ? {} : { conditioning: stage }),
        }),
      )
      return validation.ap(
        validation.ap(parts, byTarget(unets)(p.unet_config, `${base}/unet_config`)),
        conditioning(p.cond_stage_config, `${base}/cond_stage_config`),
      )
    }),
  )

const model = byTarget<PublishedModel>({
  ...firstStages,
  'ldm.models.diffusion.ddpm.LatentDiffusion': diffusion,
})

/** Parts beside `params` instead of in them, without a target: as Stable Diffusion's are written down here and there. */
const gathered = ({ params, ...parts }: Json): Json => ({ ...(isObject(params) ? params : {}), ...parts })

/** Whether a document is such a configuration, with its `model` or as the model itself. */
export const isCompVis = (document: unknown): document is Json =>
  isObject(document) && (isObject(document.model) || typeof document.target === 'string')

/**
 * A configuration of CompVis' latent-diffusion as a published model: `{ model: { target, params }, ... }` or the model alone. What
 * concerns training and the noise process is checked for its names, and left out. Errors: `config`, each with its JSON pointer.
 */
export const importCompVis = (document: Json): Checked<PublishedModel> => {
  const [inner, base] = isObject(document.model) ? [document.model, '/model'] : [document, '']
  return typeof inner.target === 'string' ? model(inner, base) : diffusion(gathered(inner), base)
}
