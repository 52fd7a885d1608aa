import { type Checked, fail } from '../../error.ts'
import { dropoutRate, mostLevels, side, width } from '../../nn/bounds.ts'
import type { UNetConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { list, literal, nullable, record, withDefault } from '../../schema.ts'
import { only, type Read, readConfig, unheeded } from './fields.ts'
import { harmlessInTrunk, trunk, trunkOf, type VectorLayers, vectorLayers } from './trunk.ts'

/** A `UNet2DConditionModel`: the network, and what a pipeline asks its configuration for. */
export interface DiffusersUNet {
  readonly unet: UNetConfig
  /** Side of the latents that pictures have where no size is asked for. */
  readonly sampleSize: number | null
  /** Which layers the vector passes, where there is one. */
  readonly vectorLayers?: VectorLayers
  /** Width of the sinusoidal embedding of each of the numbers in the vector [addition_time_embed_dim]. */
  readonly timeIdDim?: number
}

const upBlocks = list(literal(['CrossAttnUpBlock2D', 'UpBlock2D']), { min: 1, max: mostLevels })

const codec = record(
  { ...trunk.required, up_block_types: upBlocks },
  {
    ...trunk.defaulted,
    out_channels: withDefault(width, 4),
    sample_size: withDefault(nullable(side), null),
    dropout: withDefault(dropoutRate, 0),
    addition_time_embed_dim: withDefault(nullable(width), null),
    center_input_sample: only(false),
    dual_cross_attention: only(false),
    reverse_transformer_layers_per_block: only(null),
    mid_block_only_cross_attention: withDefault(nullable(literal([false])), null),
    resnet_skip_time_act: only(false),
    resnet_out_scale_factor: only(1),
    time_embedding_type: only('positional'),
    time_embedding_dim: only(null),
    time_embedding_act_fn: only(null),
    timestep_post_act: only(null),
    time_cond_proj_dim: only(null),
    conv_in_kernel: only(3),
    conv_out_kernel: only(3),
    attention_type: only('default'),
    class_embeddings_concat: only(false),
    cross_attention_norm: only(null),
  },
  unheeded(harmlessInTrunk),
)

/** Errors: `config`, each with its JSON pointer behind `base`. */
export const diffusersUNet = (document: unknown, base = ''): Checked<Read<DiffusersUNet>> =>
  pipe(
    readConfig('UNet2DConditionModel', codec, harmlessInTrunk)(document, base),
    E.flatMap(({ config: p, ignored }) => {
      const mirrored = p.down_block_types.map((type) => type.replace('Down', 'Up')).toReversed()
      if (mirrored.join() !== p.up_block_types.join())
        return fail('config', `${base}/up_block_types`, JSON.stringify(mirrored), JSON.stringify(p.up_block_types))
      const layers = vectorLayers(p)
      return pipe(
        trunkOf(p, base),
        E.map((shared) => ({
          config: {
            unet: { ...shared, outChannels: p.out_channels, codebook: null },
            sampleSize: p.sample_size,
            ...(layers === undefined ? {} : { vectorLayers: layers }),
            ...(p.addition_time_embed_dim === null ? {} : { timeIdDim: p.addition_time_embed_dim }),
          },
          ignored,
        })),
      )
    }),
  )
