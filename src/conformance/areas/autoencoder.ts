import type { Tensor } from '../../declare/index.ts'
import { diagonalGaussian, mode, sample } from '../../distributions/gaussian.ts'
import type { Checked } from '../../error.ts'
import { downsample, linAttnBlock, resnetBlock, upsample } from '../../nn/autoencoder/blocks.ts'
import {
  attnBlock,
  codebookEntries,
  ddpmUNet,
  decode,
  decoder,
  encode,
  encoder,
  publishedAutoencoder,
  publishedDdpmUNet,
  vectorQuantizer,
} from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { anything, flag, integer, number, record, withDefault } from '../../schema.ts'
import type { Case } from '../case.ts'
import type { Tolerance } from '../compare.ts'
import { parameterTolerances } from '../formula.ts'
import { adapter, area, type Plan, publishedAdapter } from '../plan.ts'
import { given, graphPlan, optional } from '../rebuild.ts'
import { layerPlan } from './attention.ts'
import { laidOut } from './quantize.ts'

const positive = integer({ min: 1 })
const channelsOnly = record({ in_channels: positive })
const resampling = record({ in_channels: positive, with_conv: flag })

/** With the arguments that decide nothing here. */
const autoencoderKl = record(
  { ddconfig: anything, embed_dim: positive },
  {},
  {
    lossconfig: anything,
    ckpt_path: anything,
    ignore_keys: anything,
    image_key: anything,
    colorize_nlabels: anything,
    monitor: anything,
  },
)

/** What the posterior's sample gives, where the case has noise for it. */
const sampled = (c: Case, moments: Tensor, decoded: (z: Tensor) => Tensor): Readonly<Record<string, Tensor>> => {
  const noise = optional(c, 'noise')
  if (noise === undefined) return {}
  const z = pipe(diagonalGaussian(moments), sample(noise))
  return { z_sample: z, dec_sample: decoded(z) }
}

/** Alone, without the convolutions at the latents: no channels of theirs are told. */
const standalone = (params: unknown, base: string) => publishedAutoencoder(params, 1, base)

/** With the arguments that decide nothing here; the codes as the reference lays them out. */
const vqModel = record(
  { ddconfig: anything, embed_dim: positive, n_embed: positive },
  { beta: withDefault(number(), 0.25), legacy: withDefault(flag, true), sane_index_shape: withDefault(flag, false) },
  { lossconfig: anything, ckpt_path: anything, ignore_keys: anything, image_key: anything, monitor: anything },
)
/** `VQModelInterface` quantises what it decodes, `VQModel` what it encodes: the result is one. */
const vqPlan = (settings: (typeof vqModel)['_A'], c: Case): Checked<Plan> =>
  pipe(
    publishedAutoencoder(settings.ddconfig, settings.embed_dim, `${c.file.path}: config/ddconfig`),
    E.flatMap((config) => {
      const { n_embed: entries, embed_dim: dim, beta, legacy } = settings
      const h = pipe(given(c, 'x'), encode('', config))
      const weighs = legacy ? 'legacyBeta' : 'beta'
      const { y, loss, codes } = vectorQuantizer('quantize', { entries, dim, beta, weighs })(h)
      const decoded = decode('', config)
      return graphPlan(c, {
        h,
        quant: y,
        diff: loss,
        dec: decoded(y),
        ...laidOut(c, 'indices', codes),
        dec_code: pipe(codes, codebookEntries('quantize', { entries, dim }), decoded),
        dec_not_quantized: decoded(h),
      })
    }),
  )

const wholeModel = /AutoencoderKL|Model|Encoder|Decoder/
const whole = (rule: Tolerance): Tolerance => ({ ...rule, subject: wholeModel })

export const autoencoder = area(
  {
    'model.py AttnBlock': adapter(channelsOnly, (_, c) => layerPlan(c, attnBlock(''))),
    'model.py LinAttnBlock': adapter(channelsOnly, (_, c) => layerPlan(c, linAttnBlock(''))),
    'model.py ResnetBlock': adapter(
      record(
        { in_channels: positive },
        {
          conv_shortcut: withDefault(flag, false),
          dropout: withDefault(number({ min: 0, max: 1 }), 0),
          temb_channels: withDefault(integer({ min: 0 }), 512),
        },
        { out_channels: positive },
      ),
      ({ in_channels, out_channels, conv_shortcut }, c) =>
        layerPlan(
          c,
          resnetBlock('', {
            out: out_channels ?? in_channels,
            temb: optional(c, 'temb'),
            shortcut: conv_shortcut ? 'conv' : 'nin',
          }),
        ),
    ),
    'model.py Downsample': adapter(resampling, ({ with_conv }, c) => layerPlan(c, downsample('', { conv: with_conv }))),
    'model.py Upsample': adapter(resampling, ({ with_conv }, c) => layerPlan(c, upsample('', { conv: with_conv }))),
    'model.py Encoder': publishedAdapter(standalone, (config, c) => layerPlan(c, encoder('', config))),
    'model.py Decoder': publishedAdapter(standalone, (config, c) =>
      graphPlan(c, { y: pipe(optional(c, 'z') ?? given(c, 'x'), decoder('', config)) }),
    ),
    'model.py Model': publishedAdapter(publishedDdpmUNet, (config, c) => {
      const context = optional(c, 'context')
      return layerPlan(c, (x) => ddpmUNet('', config)(x, given(c, 't'), context === undefined ? {} : { context }))
    }),
    'autoencoder.py AutoencoderKL': adapter(autoencoderKl, (settings, c) =>
      pipe(
        publishedAutoencoder(settings.ddconfig, settings.embed_dim, `${c.file.path}: config/ddconfig`),
        E.flatMap((config) => {
          const moments = pipe(given(c, 'x'), encode('', config))
          const decoded = decode('', config)
          const z = mode(diagonalGaussian(moments))
          return graphPlan(c, { moments, dec: decoded(z), z_mode: z, ...sampled(c, moments, decoded) })
        }),
      ),
    ),
    'autoencoder.py VQModel': adapter(vqModel, vqPlan),
    'autoencoder.py VQModelInterface': adapter(vqModel, vqPlan),
  },
  [
    ...parameterTolerances,
    { tensor: /indices$/, measure: 'exact', limit: 0 },
    whole({ tensor: /^grad/, measure: 'scaled', limit: 1e-4 }),
    whole({ tensor: /^out/, measure: 'scaled', limit: 2e-5 }),
    { tensor: /./, measure: 'scaled', limit: 3e-6 },
  ],
)
