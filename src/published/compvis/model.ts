import { type Checked, fail, failure } from '../../error.ts'
import type { ControlNetConfig, UNetConfig } from '../../nn/index.ts'
import { publishedControlNet, publishedSgmUNet, publishedUNet } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { anything, flag, list, nullable, record, text, withDefault, word } from '../../schema.ts'
import { otherFamily } from '../families.ts'
import { type Encoder, encoder } from './conditioning.ts'
import { type FirstStage, firstStages, validation } from './first-stage.ts'
import { type Denoiser, engineFields, ldmProcess, type OriginalProcess, processFields, sgmDenoiser } from './process.ts'
import { byTarget, isObject, type Json, type Reader, reading } from './reader.ts'

/** Configurations of CompVis', Runway's, Stability's and ControlNet's latent diffusion, all that is said in them as data. */

export type Tells = 'context' | 'beside' | 'vector' | 'labels'

/** A part of a checkpoint that reads a condition. */
export interface ConditioningPart {
  /** The class of the original code; empty for the first stage. */
  readonly target: string
  readonly encoder: Encoder
  /** Which entry of the data is encoded: `txt`, `class_label`, `original_size_as_tuple` ... */
  readonly key: string
  /** Where its arrays stand in the checkpoint. */
  readonly prefix: string
  /** As what the network is told of it: several parts of one kind are joined in their order. */
  readonly tells: readonly Tells[]
}

/** A latent diffusion model as its YAML declares it. */
export interface OriginalModel {
  readonly target: string
  readonly unet: UNetConfig
  readonly firstStage: FirstStage
  readonly conditioning: readonly ConditioningPart[]
  /** Further channels of x_t that no part makes: keys of the data [concat_keys]. */
  readonly concatKeys: readonly string[]
  readonly firstStageKey: string
  readonly process: OriginalProcess
  readonly controlNet?: { readonly network: ControlNetConfig; readonly key: string; readonly onlyMiddle: boolean }
}

/** Where the parts of a checkpoint stand. */
export const originalPrefixes = {
  unet: 'model.diffusion_model.',
  average: 'model_ema.',
  firstStage: 'first_stage_model.',
  conditioning: 'cond_stage_model.',
  controlNet: 'control_model.',
} as const

const conditioningKeys = ['concat', 'crossattn', 'hybrid', 'adm', 'hybrid-adm', 'crossattn-adm'] as const
const tellsBy = {
  concat: ['beside'],
  crossattn: ['context'],
  hybrid: ['context'],
  adm: ['labels'],
  'hybrid-adm': ['context'],
  'crossattn-adm': ['context'],
} as const satisfies Readonly<Record<(typeof conditioningKeys)[number], readonly Tells[]>>

/** Of training, or said elsewhere. */
const unheeded = Object.fromEntries(
  [
    ...['loss_type', 'ckpt_path', 'ignore_keys', 'load_only_unet', 'monitor', 'log_every_t', 'clip_denoised'],
    ...['given_betas', 'original_elbo_weight', 'v_posterior', 'l_simple_weight', 'scheduler_config'],
    ...['use_positional_encodings', 'learn_logvar', 'logvar_init', 'num_timesteps_cond', 'cond_stage_trainable'],
    ...['cond_stage_forward', 'unet_trainable', 'finetune_keys', 'keep_finetune_dims', 'load_ema', 'ucg_training'],
    ...['make_it_fit', 'reset_ema', 'reset_num_ema_updates', 'c_concat_log_start', 'c_concat_log_end', 'sd_locked'],
    ...['depth_stage_config', 'force_null_conditioning'],
  ].map((name) => [name, anything]),
)
const latentDiffusion = record(
  { unet_config: anything, first_stage_config: anything },
  {
    cond_stage_config: withDefault(anything, '__is_unconditional__'),
    cond_stage_key: withDefault(text, 'image'),
    first_stage_key: withDefault(text, 'image'),
    concat_mode: withDefault(flag, true),
    ...processFields,
  },
  {
    ...unheeded,
    conditioning_key: word(conditioningKeys),
    concat_keys: list(text, { max: 8 }),
    masked_image_key: text,
    control_stage_config: anything,
    control_key: text,
    only_mid_control: flag,
  },
)

const unets: Readonly<Record<string, Reader<UNetConfig>>> = {
  'ldm.modules.diffusionmodules.openaimodel.UNetModel': publishedUNet,
  'cldm.cldm.ControlledUnetModel': publishedUNet,
}
const engineUnets: typeof unets = { 'sgm.modules.diffusionmodules.openaimodel.UNetModel': publishedSgmUNet }
const controlNets = { 'cldm.cldm.ControlNet': publishedControlNet }

const condStage: Reader<Encoder | undefined> = (u, base) =>
  u === '__is_unconditional__'
    ? E.right(undefined)
    : u === '__is_first_stage__'
      ? E.right({ kind: 'first-stage' })
      : encoder(u, base)

const targetOf = (u: unknown): string => (isObject(u) && typeof u.target === 'string' ? u.target : '')

/** The network of another family is refused by its name. */
const unetOf =
  (table: typeof unets): Reader<UNetConfig> =>
  (u, base) => {
    const family = otherFamily(targetOf(u))
    return family === undefined
      ? byTarget(table)(u, base)
      : fail(
          'config',
          `${base}/target`,
          Object.keys(table).join(' | '),
          `${targetOf(u)}: ${family}, which is not built`,
        )
  }

/** `concat`: what such a class puts beside x_t where its configuration says nothing. */
const diffusion =
  (target: string, concat: readonly string[]): Reader<OriginalModel> =>
  (params, base) =>
    pipe(
      reading(latentDiffusion)(params, base),
      E.flatMap((p) => {
        const conditioned = p.conditioning_key ?? (p.concat_mode ? 'concat' : 'crossattn')
        const part = (made: Encoder): ConditioningPart => ({
          target: targetOf(p.cond_stage_config),
          encoder: made,
          key: p.cond_stage_key,
          prefix: originalPrefixes.conditioning,
          tells: tellsBy[conditioned],
        })
        const controlled: Checked<ControlNetConfig | undefined> =
          p.control_stage_config === undefined
            ? E.right(undefined)
            : byTarget(controlNets)(p.control_stage_config, `${base}/control_stage_config`)
        const made =
          (unet: UNetConfig) =>
          (firstStage: FirstStage) =>
          (stage: Encoder | undefined) =>
          (network: ControlNetConfig | undefined): OriginalModel => ({
            target,
            unet,
            firstStage,
            conditioning: stage === undefined ? [] : [part(stage)],
            concatKeys: p.concat_keys ?? concat,
            firstStageKey: p.first_stage_key,
            process: ldmProcess(p),
            ...(network === undefined
              ? {}
              : { controlNet: { network, key: p.control_key ?? 'hint', onlyMiddle: p.only_mid_control ?? false } }),
          })
        return pipe(
          validation.map(unetOf(unets)(p.unet_config, `${base}/unet_config`), made),
          (f) => validation.ap(f, byTarget(firstStages)(p.first_stage_config, `${base}/first_stage_config`)),
          (f) => validation.ap(f, condStage(p.cond_stage_config, `${base}/cond_stage_config`)),
          (f) => validation.ap(f, controlled),
        )
      }),
    )

const conditioner = record({ emb_models: list(anything, { max: 32 }) })
const embedder = record(
  { target: text },
  { params: withDefault(nullable(anything), null) },
  {
    input_key: text,
    input_keys: list(text, { max: 8 }),
    is_trainable: flag,
    ucg_rate: anything,
    legacy_ucg_value: anything,
  },
)

const tellsOf = (made: Encoder): readonly Tells[] => {
  const pools = (made.kind === 'clip' || made.kind === 'open-clip') && made.pools
  return made.kind === 'sizes' ? ['vector'] : pools ? ['context', 'vector'] : ['context']
}
const embedderPart =
  (i: number): Reader<ConditioningPart> =>
  (u, base) =>
    pipe(
      reading(embedder)(u, base),
      E.flatMap(({ target, params, input_key, input_keys }) =>
        pipe(
          encoder({ target, params: params ?? {} }, base),
          E.map((made) => ({
            target,
            encoder: made,
            key: input_key ?? (input_keys ?? []).join(' '),
            prefix: `conditioner.embedders.${i}.`,
            tells: tellsOf(made),
          })),
        ),
      ),
    )
const conditioners: Readonly<Record<string, Reader<readonly ConditioningPart[]>>> = {
  'sgm.modules.GeneralConditioner': (params, base) =>
    pipe(
      reading(conditioner)(params, base),
      E.flatMap(({ emb_models }) =>
        pipe(
          emb_models,
          E.traverseReadonlyArrayWithIndex((i, u) => embedderPart(i)(u, `${base}/emb_models/${i}`)),
        ),
      ),
    ),
}

const engine: Reader<OriginalModel> = (params, base) =>
  pipe(
    reading(engineFields)(params, base),
    E.flatMap((p) => {
      const made =
        (unet: UNetConfig) =>
        (firstStage: FirstStage) =>
        (conditioning: readonly ConditioningPart[]) =>
        (denoiser: Denoiser): OriginalModel => ({
          target: 'sgm.models.diffusion.DiffusionEngine',
          unet,
          firstStage,
          conditioning,
          concatKeys: [],
          firstStageKey: p.input_key,
          process: {
            beta_schedule: 'linear',
            cosine_s: 8e-3,
            ...denoiser,
            scaleFactor: p.scale_factor,
            scaleByStd: false,
            useEma: p.use_ema,
            imageSize: null,
            channels: null,
          },
        })
      return pipe(
        validation.map(unetOf(engineUnets)(p.network_config, `${base}/network_config`), made),
        (f) => validation.ap(f, byTarget(firstStages)(p.first_stage_config, `${base}/first_stage_config`)),
        (f) => validation.ap(f, byTarget(conditioners)(p.conditioner_config, `${base}/conditioner_config`)),
        (f) => validation.ap(f, sgmDenoiser(p.denoiser_config, `${base}/denoiser_config`)),
      )
    }),
  )

const classes: Readonly<Record<string, readonly string[]>> = {
  'ldm.models.diffusion.ddpm.LatentDiffusion': [],
  'ldm.models.diffusion.ddpm.LatentInpaintDiffusion': ['mask', 'masked_image'],
  'ldm.models.diffusion.ddpm.LatentDepth2ImageDiffusion': ['depth_mask'],
  'ldm.models.diffusion.ddpm_edit.LatentDiffusion': ['c_concat'],
  'ldm.models.diffusion.ddpm.Layout2ImgDiffusion': [],
  'cldm.cldm.ControlLDM': [],
}
/** By their classes. */
export const diffusionModels: Readonly<Record<string, Reader<OriginalModel>>> = {
  ...Object.fromEntries(Object.entries(classes).map(([target, concat]) => [target, diffusion(target, concat)])),
  'sgm.models.diffusion.DiffusionEngine': engine,
}
/** Kinds that are known and not built. */
const unbuilt: Readonly<Record<string, string>> = {
  LatentUpscaleDiffusion: 'the upscaler whose small picture is noised',
  LatentUpscaleFinetuneDiffusion: 'the upscaler whose small picture is noised',
  ImageEmbeddingConditionedLatentDiffusion: 'unCLIP, which is told of a picture by CLIP',
}
/** What a class is that is known and not built. */
export const unbuiltKind = (target: string): string | undefined =>
  unbuilt[target.slice(target.lastIndexOf('.') + 1)] ?? otherFamily(target)

const model: Reader<OriginalModel> = (u, base) => {
  const target = targetOf(u)
  const kind = unbuiltKind(target)
  return kind === undefined
    ? byTarget(diffusionModels)(u, base)
    : fail(
        'config',
        `${base}/target`,
        Object.keys(diffusionModels).join(' | '),
        `${target}: ${kind}, which is not built`,
      )
}

/** Parts beside `params` instead of in them, without a target: as Stable Diffusion's are written down here and there. */
const gathered = ({ params, ...parts }: Json): Json => ({ ...(isObject(params) ? params : {}), ...parts })

/**
 * A configuration of latent diffusion, `{ model: { target, params } }` or the model alone, as data. Errors: `config`, each with its JSON
 * pointer: what is not known, or known and not built.
 */
export const originalModel = (document: Json): Checked<OriginalModel> => {
  const [inner, base] = isObject(document.model) ? [document.model, '/model'] : [document, '']
  return typeof inner.target === 'string'
    ? model(inner, base)
    : diffusion('ldm.models.diffusion.ddpm.LatentDiffusion', [])(gathered(inner), base)
}

/** The key of the data under which nothing is told while training: neighbours of a data base take its place when drawing. */
const retrieval = 'nix'

/** The model, if all of it is built. Errors (`config`): encoders that are not, and retrieval-augmented kinds. */
export const wholly = (m: OriginalModel): Checked<OriginalModel> => {
  const unbuilt = m.conditioning.flatMap(({ encoder: made, key, target }) =>
    made.kind === 'notBuilt'
      ? [failure('config', '/model/params/cond_stage_config/target', 'an encoder that is built', target)]
      : made.kind === 'identity' && key === retrieval
        ? [
            failure(
              'config',
              '/model/params/cond_stage_key',
              'a kind that is drawn from a request alone',
              `"${key}": retrieval-augmented diffusion, which is told neighbours found by CLIP in a data base`,
            ),
          ]
        : [],
  )
  const [first, ...rest] = unbuilt
  if (first !== undefined) return E.left([first, ...rest])
  return E.right(m)
}
