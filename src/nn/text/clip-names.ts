import { type Checked, fail } from '../../error.ts'
import { E } from '../../prelude.ts'
import type { Layout, Place } from '../layout.ts'

/** The names of a CLIP text transformer's arrays in the files that people have, each layout by the name of ours. */

const model = 'transformer.text_model.'
const projection = 'transformer.text_projection.weight'

/** Of OpenAI's and OpenCLIP's block, what is neither packed nor transposed. */
const blockNames: Readonly<Record<string, string>> = {
  layer_norm1: 'ln_1',
  layer_norm2: 'ln_2',
  'self_attn.out_proj': 'attn.out_proj',
  'mlp.fc1': 'mlp.c_fc',
  'mlp.fc2': 'mlp.c_proj',
}
const topNames: Readonly<Record<string, string>> = {
  'embeddings.token_embedding.weight': 'token_embedding.weight',
  'embeddings.position_embedding.weight': 'positional_embedding',
  'final_layer_norm.weight': 'ln_final.weight',
  'final_layer_norm.bias': 'ln_final.bias',
}
const packedOrder = ['q_proj', 'k_proj', 'v_proj']

/** The place of an array of a block: `layers.0.self_attn.q_proj.weight`; `width` is that of the states. */
const blockPlace = (own: string, blocks: string, width: number): Place | undefined => {
  const [, index, layer = '', kind] = /^layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(own) ?? []
  if (index === undefined) return undefined
  const third = packedOrder.indexOf(layer.replace('self_attn.', ''))
  const renamed = blockNames[layer]
  return third >= 0
    ? { key: `${blocks}.${index}.attn.in_proj_${kind}`, rows: [third * width, (third + 1) * width] }
    : renamed === undefined
      ? undefined
      : { key: `${blocks}.${index}.${renamed}.${kind}` }
}

/**
 * OpenAI's own files and OpenCLIP's: `transformer.resblocks.0.attn.in_proj_weight` packs queries, keys and values, and
 * `text_projection` is multiplied from the right. In Stable Diffusion 2 they stand behind `cond_stage_model.model`, in XL
 * behind `conditioner.embedders.1.model`.
 */
export const openClipNames =
  ({ width }: { readonly width: number }): Layout =>
  (name) => {
    if (name === projection) return { key: 'text_projection', transpose: true }
    if (!name.startsWith(model)) return undefined
    const own = name.slice(model.length)
    const top = topNames[own]
    return top === undefined ? blockPlace(own.replace('encoder.', ''), 'transformer.resblocks', width) : { key: top }
  }

const visionNames: Readonly<Record<string, string>> = {
  'vision_model.embeddings.class_embedding': 'visual.class_embedding',
  'vision_model.embeddings.patch_embedding.weight': 'visual.conv1.weight',
  'vision_model.embeddings.position_embedding.weight': 'visual.positional_embedding',
  'vision_model.pre_layrnorm.weight': 'visual.ln_pre.weight',
  'vision_model.pre_layrnorm.bias': 'visual.ln_pre.bias',
  'vision_model.post_layernorm.weight': 'visual.ln_post.weight',
  'vision_model.post_layernorm.bias': 'visual.ln_post.bias',
}
/** The picture tower in OpenAI's own files. */
export const openClipVisionNames =
  ({ width }: { readonly width: number }): Layout =>
  (name) => {
    if (name === 'visual_projection.weight') return { key: 'visual.proj', transpose: true }
    const top = visionNames[name]
    return top === undefined
      ? name.startsWith('vision_model.')
        ? blockPlace(name.replace('vision_model.encoder.', ''), 'visual.transformer.resblocks', width)
        : undefined
      : { key: top }
  }

/** Transformers' files of before version 5, and of CLIPTextModelWithProjection: as ours, without `transformer`. */
export const clipFileNames: Layout = (name) => ({ key: name.replace(/^transformer\./, '') })
/** A CLIPTextModel as transformers 5 writes it: without `text_model` either. */
export const clipBareNames: Layout = (name) => ({ key: name.replace(/^transformer\.(?:text_model\.)?/, '') })
/** As ours: a single file of Stable Diffusion 1, without what stands before `transformer`. */
export const clipOwnNames: Layout = (name) => ({ key: name })

/** How a file of a CLIP text transformer is laid out, and which of its keys are no weights. */
export interface ClipFile {
  readonly layout: Layout
  readonly ignored: readonly string[]
}
const tokenKey = 'embeddings.token_embedding.weight'
/** By the key of the token embedding. */
const layoutsByKey: Readonly<Record<string, (c: { readonly width: number }) => Layout>> = {
  [`transformer.text_model.${tokenKey}`]: () => clipOwnNames,
  [`text_model.${tokenKey}`]: () => clipFileNames,
  [tokenKey]: () => clipBareNames,
  'token_embedding.weight': openClipNames,
}
/**
 * The layout of a file by its keys: transformers' of before or since version 5, OpenAI's and OpenCLIP's, or ours. Older files have
 * `position_ids`, which count. Errors (`file`): keys of something else.
 */
export const clipFile = (keys: readonly string[], c: { readonly width: number }, at = ''): Checked<ClipFile> => {
  const layout = keys.map((key) => (Object.hasOwn(layoutsByKey, key) ? layoutsByKey[key] : undefined)).find((l) => l)
  return layout === undefined
    ? fail(
        'file',
        at,
        `a CLIP text transformer, with one of ${Object.keys(layoutsByKey).join(', ')}`,
        keys.length === 0 ? 'no keys' : keys.slice(0, 4).join(', '),
      )
    : E.right({ layout: layout(c), ignored: keys.filter((key) => key.endsWith('position_ids')) })
}
