import { at, faulty, type Scope, shared, silu, sumAll, type Tensor } from '../../declare/index.ts'
import { showType } from '../../graph/types.ts'
import { flow, pipe } from '../../prelude.ts'
import { getTimestepEmbedding, timeMlp, timestepEmbedding } from '../embedding.ts'
import { conv2d, embedding, groupNorm, type Layer, type Mode, zeros } from '../layers.ts'
import { type Residuals, skipConnected } from '../skip-connected.ts'
import { inputBlocks, middleBlock, outputBlocks, type Told } from './blocks.ts'
import type { TrunkConfig, UNetConfig } from './config.ts'

/** What the U-Net is told beside x and the timesteps. */
export interface Conditioning {
  /** [N, L, contextDim], where attention is of kind `transformer`. */
  readonly context?: Tensor | undefined
  /** Class labels int32[N] where the network has classes, float32[N, vector] where it has a vector. */
  readonly y?: Tensor | undefined
  /** Of a ControlNet: added to what each of the input blocks and the middle give. */
  readonly residuals?: Residuals | undefined
}

/** Embeddings of timesteps [N], as [N, 4 channels]. */
export const timeEmbedding = (
  s: Scope,
  channels: number,
  order: NonNullable<TrunkConfig['timesteps']> = 'cosines-first',
): Layer =>
  flow(
    order === 'cosines-first' ? timestepEmbedding(channels) : getTimestepEmbedding(channels),
    timeMlp(s, 4 * channels),
  )

type Labelled = Pick<UNetConfig, 'classes' | 'vector'>
const labelsOf = ({ classes, vector }: Labelled): string =>
  classes !== null
    ? `class labels int32[N] below ${classes}`
    : vector !== undefined
      ? `a vector float32[N, ${vector}]`
      : 'no class labels, as `classes` is null, and no vector'

const fitting = ({ classes, vector }: Labelled, y: Tensor | undefined): boolean =>
  vector !== undefined ? y?.shape.length === 2 && y.shape[1] === vector : (classes === null) === (y === undefined)

/** What is wrong in the configuration itself, across its fields. */
const misdeclared = (s: Scope, { classes, vector, attention, heads, channelMultipliers }: TrunkConfig & Labelled) => {
  const levels = channelMultipliers.length
  const amiss = (name: string, given: number): readonly Tensor[] =>
    given === levels ? [] : [faulty(at(s, name), `a number for each of the ${levels} levels`, `${given} numbers`)]
  return [
    ...(classes === null || vector === undefined ? [] : [faulty(at(s, 'y'), '`classes` or `vector`', 'both')]),
    ...(heads.by === 'levels' ? amiss('heads', heads.counts.length) : []),
    ...(attention.kind === 'transformer' && typeof attention.depth !== 'number'
      ? amiss('depth', attention.depth.length)
      : []),
  ]
}

/** The faults of what the network is given beside x and the timesteps. */
const misgiven = (s: Scope, c: TrunkConfig & Labelled, { context, y }: Conditioning): readonly Tensor[] => {
  const got = (given: Tensor | undefined): string => (given === undefined ? 'nothing' : showType(given.type))
  const { attention } = c
  const contextFits =
    attention.kind === 'self'
      ? context === undefined
      : context?.shape.length === 3 && context.shape[2] === attention.contextDim
  const seen =
    attention.kind === 'self' ? 'no context, as attention is of kind "self"' : `[N, L, ${attention.contextDim}]`
  return [
    ...(fitting(c, y) ? [] : [faulty(at(s, 'y'), labelsOf(c), got(y))]),
    ...(contextFits ? [] : [faulty(at(s, 'context'), seen, got(context))]),
  ]
}

/** Timesteps and labels as one embedding [N, 4 modelChannels], and the context: what every block is told. */
export const toldBy = (s: Scope, c: TrunkConfig & Labelled) => {
  const width = 4 * c.modelChannels
  const ofTime = timeEmbedding(at(s, 'time_embed'), c.modelChannels, c.timesteps)
  const ofLabel =
    c.vector !== undefined
      ? timeMlp(at(s, 'label_emb.0'), width)
      : c.classes !== null
        ? embedding(at(s, 'label_emb'), { entries: c.classes, dim: width })
        : undefined
  return (timesteps: Tensor, given: Conditioning): Told => {
    const label = given.y === undefined || ofLabel === undefined || !fitting(c, given.y) ? [] : [ofLabel(given.y)]
    const wrong = [...misdeclared(s, c), ...misgiven(s, c, given)]
    return { embedding: sumAll(ofTime(timesteps), ...label, ...wrong), context: given.context }
  }
}

/** One residual for each input block, where there are any. */
const misadded = (s: Scope, blocks: number, { residuals }: Conditioning): readonly Tensor[] =>
  residuals === undefined || residuals.down.length === blocks
    ? []
    : [faulty(at(s, 'residuals'), `one for each of the ${blocks} input blocks`, `${residuals.down.length}`)]

/**
 * x[N, inChannels, H, W] at timesteps [N] (whole or fractional) -> [N, outChannels, H, W], or logits [N, codebook, H, W].
 * H and W are multiples of 2^(levels - 1). Source: `UNetModel` of ldm/modules/diffusionmodules/openaimodel.py.
 *
 *     unet('', config)(input('x', float(8, 4, 16, 16)), input('t', int(8)), { y: input('y', int(8)) })
 */
export const unet = (s: Scope, config: UNetConfig, { training = false }: Mode = {}) =>
  shared((x: Tensor, timesteps: Tensor, given: Conditioning = {}): Tensor => {
    const c = training ? config : { ...config, dropout: 0 }
    const told = toldBy(s, c)(timesteps, given)
    const down = inputBlocks(at(s, 'input_blocks'), c, told)
    const out =
      c.codebook === null
        ? flow(
            groupNorm(at(s, 'out.0'), c.norm),
            silu,
            conv2d(at(s, 'out.2'), { out: c.outChannels, kernel: 3, padding: 1, init: zeros }),
          )
        : flow(
            groupNorm(at(s, 'id_predictor.0'), c.norm),
            conv2d(at(s, 'id_predictor.1'), { out: c.codebook, kernel: 1 }),
          )
    return pipe(
      x,
      skipConnected(
        {
          down,
          middle: middleBlock(at(s, 'middle_block'), c, told),
          up: outputBlocks(at(s, 'output_blocks'), c, told),
        },
        given.residuals,
      ),
      out,
      (y) => sumAll(y, ...misadded(s, down.length, given)),
    )
  })
