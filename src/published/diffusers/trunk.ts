import { type Checked, failure, type LatentError } from '../../error.ts'
import { depth, depthOrNone, mostLevels, width } from '../../nn/bounds.ts'
import type { AttentionConfig, HeadsConfig, TrunkConfig } from '../../nn/index.ts'
import { E } from '../../prelude.ts'
import { type Decoded, flag, list, literal, nullable, orList, withDefault } from '../../schema.ts'
import { among, only } from './fields.ts'

/** What `UNet2DConditionModel` and `ControlNetModel` have in common. */

const levels = { min: 1, max: mostLevels }
export const blockTypes = list(literal(['CrossAttnDownBlock2D', 'DownBlock2D']), levels)

export const harmlessInTrunk = ['addition_embed_type_num_heads', 'upcast_attention'] as const

/** Names and defaults are those of the constructors; of what is not built only the value that leaves it out is taken. */
export const trunk = {
  required: { block_out_channels: list(width, levels), down_block_types: blockTypes },
  defaulted: {
    in_channels: withDefault(width, 4),
    layers_per_block: withDefault(orList(depth, levels), 2),
    /** Not their width: the NUMBER of heads, for all levels or for each. */
    attention_head_dim: withDefault(orList(width, levels), 8),
    num_attention_heads: only(null),
    cross_attention_dim: withDefault(orList(width, levels), 1280),
    transformer_layers_per_block: withDefault(orList(depthOrNone, levels), 1),
    only_cross_attention: withDefault(orList(flag, levels), false),
    use_linear_projection: withDefault(flag, false),
    class_embed_type: among(null, 'projection'),
    num_class_embeds: withDefault(nullable(width), null),
    addition_embed_type: among(null, 'text_time'),
    projection_class_embeddings_input_dim: withDefault(nullable(width), null),
    resnet_time_scale_shift: among('default', 'scale_shift'),
    act_fn: among('silu', 'swish'),
    mid_block_type: only('UNetMidBlock2DCrossAttn'),
    flip_sin_to_cos: only(true),
    freq_shift: only(0),
    downsample_padding: only(1),
    mid_block_scale_factor: only(1),
    norm_num_groups: only(32),
    norm_eps: only(1e-5),
    encoder_hid_dim: only(null),
    encoder_hid_dim_type: only(null),
  },
}
type Fields = { readonly [K in keyof typeof trunk.required]: Decoded<(typeof trunk.required)[K]> } & {
  readonly [K in keyof typeof trunk.defaulted]: Decoded<(typeof trunk.defaulted)[K]['of']>
} & { readonly dropout?: number }

/** The value of all levels; undefined where they differ. */
const common = (given: number | readonly number[]): number | undefined =>
  typeof given === 'number' ? given : given.every((n) => n === given[0]) ? given[0] : undefined

const sizeOf = (given: unknown): number | undefined => (Array.isArray(given) ? given.length : undefined)

/** What does not go together, or is not built. */
const problems = (p: Fields, base: string): readonly LatentError[] => {
  const count = p.block_out_channels.length
  const refused = (fits: boolean, name: keyof Fields, expected: string): readonly LatentError[] =>
    fits ? [] : [failure('config', `${base}/${name}`, expected, JSON.stringify(p[name]))]
  const listed = (name: keyof Fields) =>
    refused((sizeOf(p[name]) ?? count) === count, name, `one value, or one for each of the ${count} levels`)
  const [first = 1] = p.block_out_channels
  const added = p.addition_embed_type !== null || p.class_embed_type !== null
  const classed = p.num_class_embeds !== null && p.class_embed_type === null
  return [
    ...listed('down_block_types'),
    ...listed('attention_head_dim'),
    ...listed('transformer_layers_per_block'),
    ...listed('only_cross_attention'),
    ...refused(common(p.layers_per_block) !== undefined, 'layers_per_block', 'one number for all levels'),
    ...refused(common(p.cross_attention_dim) !== undefined, 'cross_attention_dim', 'one width for all levels'),
    ...refused(
      p.block_out_channels.every((c) => c % first === 0),
      'block_out_channels',
      'multiples of the first',
    ),
    ...refused(
      added === (p.projection_class_embeddings_input_dim !== null),
      'projection_class_embeddings_input_dim',
      'a width if and only if a vector is embedded (addition_embed_type "text_time", class_embed_type "projection")',
    ),
    ...refused(
      p.class_embed_type === null || p.addition_embed_type === null,
      'class_embed_type',
      'null beside addition_embed_type',
    ),
    ...refused(!(added && classed), 'num_class_embeds', 'null, as a vector is embedded'),
  ]
}

/** Where the vector's two dense layers stand in diffusers' names; both are `label_emb.0` in the original's. */
export type VectorLayers = 'add_embedding' | 'class_embedding'

/** Our fields of what both have, with where their vector goes. */
export interface Trunk extends Omit<TrunkConfig, 'attention'> {
  readonly attention: AttentionConfig
  readonly classes: number | null
  readonly vector?: number
}

export const vectorLayers = (p: Pick<Fields, 'addition_embed_type' | 'class_embed_type'>): VectorLayers | undefined =>
  p.addition_embed_type !== null ? 'add_embedding' : p.class_embed_type !== null ? 'class_embedding' : undefined

const headsOf = ({ attention_head_dim: given }: Fields): HeadsConfig =>
  typeof given === 'number' ? { by: 'count', count: given } : { by: 'levels', counts: given }

const attentionOf = (p: Fields, contextDim: number): AttentionConfig => {
  const only = p.only_cross_attention
  const contextOnlyFactors = p.down_block_types.flatMap((_, level) =>
    (typeof only === 'boolean' ? only : only[level]) ? [2 ** level] : [],
  )
  return {
    kind: 'transformer',
    contextDim,
    depth: p.transformer_layers_per_block,
    widenHeads: false,
    ...(p.use_linear_projection ? { projection: 'linear' } : {}),
    ...(contextOnlyFactors.length > 0 ? { contextOnlyFactors } : {}),
  }
}

/** Errors: `config`, each with its JSON pointer. */
export const trunkOf = (p: Fields, base: string): Checked<Trunk> => {
  const [first, ...rest] = problems(p, base)
  if (first !== undefined) return E.left([first, ...rest])
  const [finest = 1] = p.block_out_channels
  return E.right({
    inChannels: p.in_channels,
    modelChannels: finest,
    resBlocks: common(p.layers_per_block) ?? 1,
    attentionFactors: p.down_block_types.flatMap((type, level) => (type === 'DownBlock2D' ? [] : [2 ** level])),
    channelMultipliers: p.block_out_channels.map((c) => c / finest),
    heads: headsOf(p),
    attention: attentionOf(p, common(p.cross_attention_dim) ?? 1),
    resample: 'conv',
    scaleShiftNorm: p.resnet_time_scale_shift === 'scale_shift',
    dropout: p.dropout ?? 0,
    classes: p.class_embed_type === null ? p.num_class_embeds : null,
    ...(p.projection_class_embeddings_input_dim === null ? {} : { vector: p.projection_class_embeddings_input_dim }),
  })
}
