import {
  add,
  at,
  broadcast,
  concat,
  conv2d,
  faulty,
  parameter,
  part,
  reshape,
  type Scope,
  shared,
  type Tensor,
  transpose,
} from '../../declare/index.ts'
import type { Initializer } from '../../graph/ops.ts'
import { pipe } from '../../prelude.ts'
import { layerNorm, linear } from '../layers.ts'
import { type ClipBlocks, clipBlocks } from './clip.ts'

/** The sizes of a CLIP picture encoder. */
export interface ClipVisionConfig extends ClipBlocks {
  /** Pixels of a side of the picture, and of a patch. */
  readonly side: number
  readonly patch: number
  readonly projection: number
}

/**
 * CLIP's picture tower: x[N, 3, side, side] -> the projected state of the class token, [N, projection]. Parameters are named as
 * transformers' CLIPVisionModelWithProjection names them. Source: `VisionTransformer` of clip/model.py.
 */
export const clipVision = (s: Scope, c: ClipVisionConfig): ((x: Tensor) => Tensor) => {
  const model = at(s, 'vision_model')
  const start: Initializer = { kind: 'normal', std: 1 / Math.sqrt(c.width) }
  const before = layerNorm(at(model, 'pre_layrnorm'), { eps: c.eps })
  const after = layerNorm(at(model, 'post_layernorm'), { eps: c.eps })
  const project = linear(at(s, 'visual_projection'), { out: c.projection, bias: false, init: start })
  return shared((x) => {
    const [n = 0, channels = 0, height = 0, width = 0] = x.shape
    const sound =
      height === c.side && width === c.side ? x : faulty(model, `${c.side}x${c.side} pixels`, `${height}x${width}`)
    const embeddings = at(model, 'embeddings')
    const count = Math.floor(c.side / c.patch) ** 2
    const kernel = parameter(at(embeddings, 'patch_embedding'), 'weight', [c.width, channels, c.patch, c.patch], start)
    const patches = pipe(
      sound,
      conv2d(kernel, { stride: [c.patch, c.patch], padding: [0, 0, 0, 0] }),
      reshape(n, c.width, count),
      transpose(0, 2, 1),
    )
    const token = pipe(parameter(embeddings, 'class_embedding', [c.width], start), broadcast(n, 1, c.width))
    const positions = parameter(at(embeddings, 'position_embedding'), 'weight', [count + 1, c.width], start)
    const embedded = pipe(concat(1, token, patches), add(positions), before)
    const last = clipBlocks(at(model, 'encoder'), c)(embedded).at(-1) ?? embedded
    return pipe(part(last, 1, 0, 1), reshape(n, c.width), after, project)
  })
}
