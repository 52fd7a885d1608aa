import { type ControlNetConfig, type TrunkConfig, type UNetConfig, unetBlocks } from '../../nn/index.ts'
import { type AttentionNames, attentionProjections } from './autoencoder-names.ts'
import { inside, type Named, type Names } from './names.ts'
import type { VectorLayers } from './trunk.ts'

/** The modules of U-Nets and ControlNets, ours being those of ldm/modules/diffusionmodules/openaimodel.py. */

const resnet = (ours: string, theirs: string): Names =>
  inside(ours, theirs, {
    'in_layers.0': 'norm1',
    'in_layers.2': 'conv1',
    'emb_layers.1': 'time_emb_proj',
    'out_layers.0': 'norm2',
    'out_layers.3': 'conv2',
    skip_connection: 'conv_shortcut',
  })
const both = (ours: string, theirs: string): Named => ({ ours, theirs })

const { headCount } = unetBlocks
const widthAt = ({ channelMultipliers, modelChannels }: TrunkConfig, level: number): number =>
  (channelMultipliers[level] ?? 1) * modelChannels

type Labelled = TrunkConfig & Pick<UNetConfig, 'classes' | 'vector'>

/** An attention's modules, by what they stand in; `heads` of them. */
type AttentionModules = (ours: string, theirs: string, heads: number) => Names
/** A transformer has the same names in both. */
const transformer: AttentionModules = (ours, theirs) => [both(ours, theirs)]
/** Queries, keys and values are packed in ours: of all heads after each other, or of each head together [legacy]. */
const selfAttention =
  (c: UNetConfig, names: AttentionNames): AttentionModules =>
  (ours, theirs, heads) => {
    const { q, k, v, proj_out } = attentionProjections[names]
    const runs = c.attention.kind === 'self' && c.attention.order === 'legacy' ? heads : 1
    return [
      both(`${ours}.norm`, `${theirs}.group_norm`),
      {
        ours: `${ours}.qkv`,
        theirs: `${theirs}.${q}`,
        trailing: 1,
        joined: { keys: [q, k, v].map((name) => `${theirs}.${name}`), runs },
      },
      { ours: `${ours}.proj_out`, theirs: `${theirs}.${proj_out}`, trailing: 1 },
    ]
  }

const attends = (c: TrunkConfig, level: number): boolean => c.attentionFactors.includes(2 ** level)
/** A level's residual blocks and attentions; `first` is the place of the first among all blocks. */
const stage = (
  c: TrunkConfig,
  attention: AttentionModules,
  level: number,
  blocks: number,
  ours: string,
  first: number,
  theirs: string,
): Names =>
  Array.from({ length: blocks }, (_, i) => [
    ...resnet(`${ours}.${first + i}.0`, `${theirs}.resnets.${i}`),
    ...(attends(c, level)
      ? attention(
          `${ours}.${first + i}.1`,
          `${theirs}.attentions.${i}`,
          headCount(c.heads, widthAt(c, level), { level, way: ours === 'input_blocks' ? 'down' : 'up' }),
        )
      : []),
  ]).flat()

const embeddings = (c: Labelled, layers: VectorLayers): Names => {
  const dense = (ours: string, theirs: string): Names => inside(ours, theirs, { '0': 'linear_1', '2': 'linear_2' })
  return [
    ...dense('time_embed', 'time_embedding'),
    ...(c.vector === undefined ? [] : dense('label_emb.0', layers)),
    ...(c.classes === null ? [] : [both('label_emb', 'class_embedding')]),
  ]
}

const wayDown = (c: TrunkConfig, attention: AttentionModules): Names =>
  c.channelMultipliers.flatMap((_, level, { length }) => {
    const first = 1 + level * (c.resBlocks + 1)
    const theirs = `down_blocks.${level}`
    return [
      ...stage(c, attention, level, c.resBlocks, 'input_blocks', first, theirs),
      ...(level === length - 1
        ? []
        : [both(`input_blocks.${first + c.resBlocks}.0.op`, `${theirs}.downsamplers.0.conv`)]),
    ]
  })

const middle = (c: TrunkConfig, attention: AttentionModules): Names => [
  ...resnet('middle_block.0', 'mid_block.resnets.0'),
  ...attention(
    'middle_block.1',
    'mid_block.attentions.0',
    headCount(c.heads, widthAt(c, c.channelMultipliers.length - 1), { level: 'middle', way: 'down' }),
  ),
  ...resnet('middle_block.2', 'mid_block.resnets.1'),
]

const wayUp = (c: TrunkConfig, attention: AttentionModules): Names =>
  c.channelMultipliers.flatMap((_, i, { length }) => {
    const level = length - 1 - i
    const first = i * (c.resBlocks + 1)
    const theirs = `up_blocks.${i}`
    const last = `output_blocks.${first + c.resBlocks}.${attends(c, level) ? 2 : 1}`
    return [
      ...stage(c, attention, level, c.resBlocks + 1, 'output_blocks', first, theirs),
      ...(level === 0 ? [] : [both(`${last}.conv`, `${theirs}.upsamplers.0.conv`)]),
    ]
  })

const trunkNames = (c: Labelled, layers: VectorLayers, attention = transformer): Names => [
  ...embeddings(c, layers),
  both('input_blocks.0.0', 'conv_in'),
  ...wayDown(c, attention),
  ...middle(c, attention),
]

/** With convolutions between levels, and a head that predicts no codebook. */
const wholeNames = (c: UNetConfig, layers: VectorLayers, attention: AttentionModules): Names => [
  ...trunkNames(c, layers, attention),
  ...wayUp(c, attention),
  both('out.0', 'conv_norm_out'),
  both('out.2', 'conv_out'),
]
/** Of a `UNet2DConditionModel`, whose attentions are transformers. */
export const unetNames = (c: UNetConfig, layers: VectorLayers = 'add_embedding'): Names =>
  wholeNames(c, layers, transformer)
/** Of a `UNet2DModel`, whose positions attend to each other. */
export const unet2dNames = (c: UNetConfig, names: AttentionNames = 'newer'): Names =>
  wholeNames(c, 'add_embedding', selfAttention(c, names))

/** Of a `ControlNetModel`; ours are those of lllyasviel/ControlNet. */
export const controlNetNames = (c: ControlNetConfig, layers: VectorLayers = 'add_embedding'): Names => {
  const [hint, theirs] = ['input_hint_block', 'controlnet_cond_embedding']
  const between = 2 * (c.hintWidths.length - 1)
  const blocks = 1 + c.channelMultipliers.length * (c.resBlocks + 1) - 1
  return [
    ...trunkNames(c, layers),
    both(`${hint}.0`, `${theirs}.conv_in`),
    ...Array.from({ length: between }, (_, i) => both(`${hint}.${2 * (i + 1)}`, `${theirs}.blocks.${i}`)),
    both(`${hint}.${2 * (between + 1)}`, `${theirs}.conv_out`),
    ...Array.from({ length: blocks }, (_, i) => both(`zero_convs.${i}.0`, `controlnet_down_blocks.${i}`)),
    both('middle_block_out.0', 'controlnet_mid_block'),
  ]
}

/**
 * Widths of the convolutions that bring a picture to the latents' size, as a file has them: `shapes` of `input_hint_block.0.weight` and so
 * on. Undefined where there are none.
 */
export const hintWidthsIn = (shapes: Readonly<Record<string, readonly number[]>>): readonly number[] | undefined => {
  const outs = Object.entries(shapes)
    .flatMap(([name, [out]]): readonly (readonly [number, number])[] => {
      const [, place] = /^input_hint_block\.(\d+)\.weight$/.exec(name) ?? []
      return place === undefined || out === undefined ? [] : [[Number(place), out]]
    })
    .toSorted(([a], [b]) => a - b)
    .map(([, out]) => out)
  return outs.length === 0 ? undefined : outs.filter((_, i) => i % 2 === 0)
}
