import { type Checked, fail, type LatentError } from '../../error.ts'
import { type AutoencoderConfig, publishedAutoencoder } from '../../nn/index.ts'
import { E, pipe, RNEA } from '../../prelude.ts'
import { anything, flag, record, text } from '../../schema.ts'
import type { PublishedLoss, PublishedModel } from '../document.ts'
import { klLosses, type LossReader, positive, vqLosses, weight } from './losses.ts'
import { byTarget, isObject, type Reader, reading } from './reader.ts'

/** Autoencoders as a whole model, or as a part of latent diffusion. */

export const validation = E.getApplicativeValidation(RNEA.getSemigroup<LatentError>())

export type FirstStage = Pick<PublishedModel, 'autoencoder' | 'codebook' | 'loss'>

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

export const firstStages: Readonly<Record<string, Reader<FirstStage>>> = {
  'ldm.models.autoencoder.AutoencoderKL': stageReader(reading(klStage), klLosses, true),
  'sgm.models.autoencoder.AutoencoderKL': stageReader(reading(klStage), klLosses, true),
  'sgm.models.autoencoder.AutoencoderKLInferenceWrapper': stageReader(reading(klStage), klLosses, true),
  'ldm.models.autoencoder.VQModel': stageReader(reading(vqStage), vqLosses, false),
  'ldm.models.autoencoder.VQModelInterface': stageReader(reading(vqStage), vqLosses, false),
}
