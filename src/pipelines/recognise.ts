import { readdir } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { type Checked, type Effect, fail } from '../error.ts'
import type { UnreadArrays } from '../io/stored.ts'
import { E, TE } from '../prelude.ts'
import { sizeKeys } from './as-original.ts'

/** The configuration of a checkpoint that comes without one: a file beside it, or that of a published model, known by its shapes. */

const yamlName = /\.ya?ml$/i

/** A configuration that lies beside a checkpoint under its name, or as the only one there. */
export const yamlBeside = (path: string): Effect<string | undefined> =>
  TE.fromTask(async () => {
    const folder = dirname(path)
    const found = (await readdir(folder).catch(() => [])).filter((name) => yamlName.test(name))
    const stem = basename(path, extname(path))
    const own = found.find((name) => name.replace(yamlName, '') === stem) ?? (found.length === 1 ? found[0] : undefined)
    return own === undefined ? undefined : join(folder, own)
  })

type Json = Readonly<Record<string, unknown>>

const kl = {
  target: 'ldm.models.autoencoder.AutoencoderKL',
  params: {
    embed_dim: 4,
    ddconfig: {
      ...{ double_z: true, z_channels: 4, resolution: 256, in_channels: 3, out_ch: 3, ch: 128, num_res_blocks: 2 },
      ...{ ch_mult: [1, 2, 4, 4], attn_resolutions: [], dropout: 0 },
    },
    lossconfig: { target: 'torch.nn.Identity' },
  },
}
const trunk = (inChannels: number, contextDim: number): Json => ({
  ...{ image_size: 32, in_channels: inChannels, out_channels: 4, model_channels: 320, num_res_blocks: 2 },
  ...{ attention_resolutions: [4, 2, 1], channel_mult: [1, 2, 4, 4], use_spatial_transformer: true },
  ...{ transformer_depth: 1, context_dim: contextDim, legacy: false },
})

const stable = (target: string, unet: Json, cond: Json, more: Json = {}, size = 64): Json => ({
  model: {
    target,
    params: {
      ...{ linear_start: 0.00085, linear_end: 0.012, timesteps: 1000, cond_stage_key: 'txt', first_stage_key: 'jpg' },
      ...{ image_size: size, channels: 4, conditioning_key: 'crossattn', scale_factor: 0.18215, use_ema: false },
      ...more,
      unet_config: { target: 'ldm.modules.diffusionmodules.openaimodel.UNetModel', params: unet },
      first_stage_config: kl,
      cond_stage_config: cond,
    },
  },
})
const classes = {
  plain: 'ldm.models.diffusion.ddpm.LatentDiffusion',
  inpaint: 'ldm.models.diffusion.ddpm.LatentInpaintDiffusion',
  depth: 'ldm.models.diffusion.ddpm.LatentDepth2ImageDiffusion',
  edit: 'ldm.models.diffusion.ddpm_edit.LatentDiffusion',
} as const
/** By the channels that a U-Net takes. */
const kinds: Readonly<Record<number, readonly [target: string, name: string]>> = {
  4: [classes.plain, ''],
  5: [classes.depth, ' depth'],
  8: [classes.edit, ' edited by words (InstructPix2Pix)'],
  9: [classes.inpaint, ' inpainting'],
}
const hybrid = (inChannels: number): Json => (inChannels === 4 ? {} : { conditioning_key: 'hybrid' })

const heads2 = (unet: Json): Json => ({ ...unet, num_head_channels: 64, use_linear_in_transformer: true })
const openClip = { target: 'ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder', params: { layer: 'penultimate' } }

const bigG = {
  input_key: 'txt',
  target: 'sgm.modules.encoders.modules.FrozenOpenCLIPEmbedder2',
  params: { arch: 'ViT-bigG-14', layer: 'penultimate', always_return_pooled: true, legacy: false },
}
const sizesOf = (kind: keyof typeof sizeKeys): readonly Json[] =>
  sizeKeys[kind].map((key) => ({
    input_key: key,
    target: 'sgm.modules.encoders.modules.ConcatTimestepEmbedderND',
    params: { outdim: 256 },
  }))
const engine = (unet: Json, emb_models: readonly Json[]): Json => ({
  model: {
    target: 'sgm.models.diffusion.DiffusionEngine',
    params: {
      scale_factor: 0.13025,
      denoiser_config: {
        target: 'sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser',
        params: {
          num_idx: 1000,
          scaling_config: { target: 'sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling' },
          discretization_config: { target: 'sgm.modules.diffusionmodules.discretizer.LegacyDDPMDiscretization' },
        },
      },
      network_config: {
        target: 'sgm.modules.diffusionmodules.openaimodel.UNetModel',
        params: {
          ...{ num_classes: 'sequential', out_channels: 4, attention_resolutions: [4, 2], num_res_blocks: 2 },
          ...{ num_head_channels: 64, use_linear_in_transformer: true, ...unet },
        },
      },
      conditioner_config: { target: 'sgm.modules.GeneralConditioner', params: { emb_models } },
      first_stage_config: kl,
    },
  },
})
const xl = (inChannels: number): Json =>
  engine(
    {
      ...{ in_channels: inChannels, model_channels: 320, channel_mult: [1, 2, 4], transformer_depth: [1, 2, 10] },
      ...{ context_dim: 2048, adm_in_channels: 2816 },
    },
    [
      {
        input_key: 'txt',
        target: 'sgm.modules.encoders.modules.FrozenCLIPEmbedder',
        params: { layer: 'hidden', layer_idx: 11 },
      },
      bigG,
      ...sizesOf('target'),
    ],
  )
const xlRefiner = engine(
  {
    ...{ in_channels: 4, model_channels: 384, channel_mult: [1, 2, 4, 4], transformer_depth: 4 },
    ...{ context_dim: 1280, adm_in_channels: 2560 },
  },
  [bigG, ...sizesOf('aesthetic')],
)

const shapeOf = (found: UnreadArrays, name: string): readonly number[] =>
  found[`model.diffusion_model.${name}`]?.shape ?? []

export interface Recognised {
  readonly name: string
  readonly config: Json
  readonly remarks: readonly string[]
}

type Known = (inChannels: number, suffix: string, target: string) => Recognised
/** By the width of what a U-Net's attention is told. */
const byContext: Readonly<Record<number, Known>> = {
  768: (n, suffix, target) => ({
    name: `Stable Diffusion 1${suffix}`,
    config: stable(
      target,
      { ...trunk(n, 768), num_heads: 8 },
      { target: 'ldm.modules.encoders.modules.FrozenCLIPEmbedder' },
      hybrid(n),
    ),
    remarks: [],
  }),
  1024: (n, suffix, target) => ({
    name: `Stable Diffusion 2${suffix}`,
    config: stable(
      target,
      heads2(trunk(n, 1024)),
      openClip,
      { ...hybrid(n), ...(n === 4 ? { parameterization: 'v' } : {}) },
      n === 4 ? 96 : 64,
    ),
    remarks:
      n === 4 ? ['it is taken to predict v, as those for 768 pixels do; for 512-base give its YAML by --config'] : [],
  }),
  2048: (n, suffix) => ({ name: `Stable Diffusion XL${suffix}`, config: xl(n), remarks: [] }),
}

const refiner = 1280
const isRefiner = (found: UnreadArrays, inChannels: number, width: number): boolean =>
  inChannels === 4 && width === refiner && 'conditioner.embedders.0.model.token_embedding.weight' in found

/** A published model by its arrays. Errors (`file`): none that is known, or one that is not built. */
export const recognised = (path: string, found: UnreadArrays): Checked<Recognised> => {
  const [, inChannels] = shapeOf(found, 'input_blocks.0.0.weight')
  const context = Object.entries(found).find(([name]) => /^model\.diffusion_model\..*attn2\.to_k\.weight$/.test(name))
  const width = context?.[1].shape[1] ?? 0
  const known = byContext[width]
  const kind = kinds[inChannels ?? 0]
  if (inChannels !== undefined && isRefiner(found, inChannels, width))
    return E.right({ name: 'the refiner of Stable Diffusion XL', config: xlRefiner, remarks: [] })
  return inChannels === undefined || known === undefined || kind === undefined
    ? fail(
        'file',
        path,
        'Stable Diffusion 1, 2 or XL in the names of the original, or a configuration beside it',
        inChannels === undefined
          ? `arrays such as ${Object.keys(found).slice(0, 3).join(', ') || 'none'}`
          : `a U-Net of ${inChannels} channels that is told ${width === 0 ? 'nothing' : `${width} numbers a token`}`,
        '--config model.yaml says what it is; --into EXPERIMENT takes the checkpoint of an experiment',
      )
    : E.right(known(inChannels, kind[1], kind[0]))
}
