import { at, faulty, type Scope, shared, silu, sumAll, type Tensor } from '../../declare/index.ts'
import { showType } from '../../graph/types.ts'
import { flow, pipe } from '../../prelude.ts'
import { timeMlp, timestepEmbedding } from '../embedding.ts'
import { conv2d, embedding, groupNorm, type Layer, type Mode, zeros } from '../layers.ts'
import { skipConnected } from '../skip-connected.ts'
import { inputBlocks, middleBlock, outputBlocks } from './blocks.ts'
import type { UNetConfig } from './config.ts'

export interface Conditioning {
  /** [N, L, contextDim], where attention is of kind `transformer`. */
  readonly context?: Tensor | undefined
  /** Class labels int32[N], where the network has classes. */
  readonly y?: Tensor | undefined
}

/** Embeddings of timesteps [N], as [N, 4 channels]. */
export const timeEmbedding = (s: Scope, channels: number): Layer =>
  flow(timestepEmbedding(channels), timeMlp(s, 4 * channels))

/** The faults of what the network is given beside x and the timesteps. */
const misgiven = (s: Scope, { classes, attention }: UNetConfig, { context, y }: Conditioning): readonly Tensor[] => {
  const got = (given: Tensor | undefined): string => (given === undefined ? 'nothing' : showType(given.type))
  const labelsFit = (classes === null) === (y === undefined)
  const contextFits =
    attention.kind === 'self'
      ? context === undefined
      : context?.shape.length === 3 && context.shape[2] === attention.contextDim
  const labels = classes === null ? 'no class labels, as `classes` is null' : `class labels int32[N] below ${classes}`
  const seen =
    attention.kind === 'self' ? 'no context, as attention is of kind "self"' : `[N, L, ${attention.contextDim}]`
  return [
    ...(labelsFit ? [] : [faulty(at(s, 'y'), labels, got(y))]),
    ...(contextFits ? [] : [faulty(at(s, 'context'), seen, got(context))]),
  ]
}

/**
 * x[N, inChannels, H, W] at timesteps [N] (whole or fractional) -> [N, outChannels, H, W], or logits [N, codebook, H, W].
 * H and W are multiples of 2^(levels - 1). Source: `UNetModel` of ldm/modules/diffusionmodules/openaimodel.py.
 *
 *     unet('', config)(input('x', float(8, 4, 16, 16)), input('t', int(8)), { y: input('y', int(8)) })
 */
export const unet = (s: Scope, config: UNetConfig, { training = false }: Mode = {}) =>
  shared((x: Tensor, timesteps: Tensor, given: Conditioning = {}): Tensor => {
    const c = training ? config : { ...config, dropout: 0 }
    const time = pipe(timesteps, timeEmbedding(at(s, 'time_embed'), c.modelChannels))
    const label =
      given.y === undefined || c.classes === null
        ? []
        : [pipe(given.y, embedding(at(s, 'label_emb'), { entries: c.classes, dim: 4 * c.modelChannels }))]
    const told = { embedding: sumAll(time, ...label, ...misgiven(s, c, given)), context: given.context }
    const out =
      c.codebook === null
        ? flow(
            groupNorm(at(s, 'out.0')),
            silu,
            conv2d(at(s, 'out.2'), { out: c.outChannels, kernel: 3, padding: 1, init: zeros }),
          )
        : flow(groupNorm(at(s, 'id_predictor.0')), conv2d(at(s, 'id_predictor.1'), { out: c.codebook, kernel: 1 }))
    return pipe(
      x,
      skipConnected({
        down: inputBlocks(at(s, 'input_blocks'), c, told),
        middle: middleBlock(at(s, 'middle_block'), c, told),
        up: outputBlocks(at(s, 'output_blocks'), c, told),
      }),
      out,
    )
  })
