import { freeze, input } from '../declare/index.ts'
import { type Checked, collect, type Effect } from '../error.ts'
import { asNamed, portable } from '../execute/onnx/portable.ts'
import type { Model } from '../execute/onnx/proto.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int } from '../graph/types.ts'
import { unet } from '../nn/unet/unet.ts'
import { E, pipe, TE } from '../prelude.ts'
import { optimise } from '../transform/index.ts'
import type { PipelineDocument } from './document.ts'
import { decoderGraph, encoderGraph, factorOf, latentChannels } from './first-stage.ts'
import { boxStates, classTokens, labelChannels } from './networks.ts'
import type { Pipeline } from './request.ts'
import { textGraph, textLength } from './texts.ts'
import { type Component, type Weights, weightsOf } from './weights.ts'

/** The networks of a published model, each by itself, for other runtimes: of one picture of the size that the model is for. */

export interface PortableNetwork {
  readonly name: string
  readonly component: Component
  readonly graph: Graph
  /** What goes in and what comes out. */
  readonly doc: string
}

type Asked = Pick<Pipeline, 'document' | 'tokenizers'>

const tokensOf = (asked: Asked): number => {
  const { conditioning } = asked.document
  return conditioning.boxes !== null
    ? conditioning.boxes.encoder.positions
    : conditioning.classes !== null
      ? 1
      : Math.min(...conditioning.text.map((_, k) => textLength(asked, k)))
}

const denoiserOf = (asked: Asked): Checked<Graph> => {
  const { unet: config, side } = asked.document
  const { attention, classes, inChannels, vector } = config
  return pipe(
    freeze({
      prediction: unet('', config)(input('x_t', float(1, inChannels, side, side)), input('t', float(1)), {
        ...(attention.kind === 'transformer'
          ? { context: input('context', float(1, tokensOf(asked), attention.contextDim)) }
          : {}),
        ...(classes === null ? {} : { y: input('labels', int(1)) }),
        ...(vector === undefined ? {} : { y: input('vector', float(1, vector)) }),
      }),
    }),
    E.map(optimise),
  )
}

const besideSaid: { readonly [K in NonNullable<PipelineDocument['conditioning']['beside']>['kind']]: string } = {
  'low-resolution': 'the small picture',
  'masked-latents': 'latents of the picture without what is to be drawn, and the mask',
  'mask-and-latents': 'the mask, and latents of the rest',
  depth: 'depth',
  'picture-latents': 'latents of a picture',
  'label-map': 'labels, made as small as the latents',
}

/** Errors: `shape`. */
export const portableNetworks = (asked: Asked): Checked<readonly PortableNetwork[]> => {
  const { document } = asked
  const { firstStage, side, predicts } = document
  const { text, classes, boxes, beside } = document.conditioning
  const pixels = side * factorOf(firstStage)
  const built: readonly (Omit<PortableNetwork, 'graph'> & { readonly graph: Checked<Graph> })[] = [
    {
      name: 'denoiser',
      component: 'unet',
      graph: denoiserOf(asked),
      doc: `x_t${beside === null ? '' : ` (behind it on axis 1 ${besideSaid[beside.kind]})`}, t, and what the model is told, to its prediction of ${predicts}. Guidance: once with the condition, once without.`,
    },
    ...text.map((part, k) => ({
      name: k === 0 ? 'text_encoder' : `text_encoder_${k + 1}`,
      component: `text.${k}` as const,
      graph: textGraph(part, 1, textLength(asked, k)),
      doc: `ids int32 of tokenizer ${k + 1} to the states that the denoiser attends to${text.length > 1 ? ', where those of all encoders stand beside each other on the last axis' : ''}.`,
    })),
    ...(classes === null
      ? []
      : [
          {
            name: 'class_embedder',
            component: 'classes' as const,
            graph: classTokens(classes.entries, classes.dim, 1),
            doc: 'labels int32 [1] to the token that the denoiser attends to.',
          },
        ]),
    ...(boxes === null
      ? []
      : [
          {
            name: 'box_encoder',
            component: 'boxes' as const,
            graph: boxStates(boxes, 1),
            doc: 'ids int32 of boxes to the states that the denoiser attends to.',
          },
        ]),
    ...(beside?.kind === 'label-map' && beside.rescaler.outChannels !== null
      ? [
          {
            name: 'rescaler',
            component: 'rescaler' as const,
            graph: labelChannels(beside, [1, pixels, pixels]),
            doc: 'labels int32 [1, H, W] to channels as large as the latents.',
          },
        ]
      : []),
    ...(firstStage.kind === 'pixels'
      ? []
      : [
          {
            name: 'encoder',
            component: 'firstStage' as const,
            graph: encoderGraph(firstStage, [1, firstStage.network.inChannels, pixels, pixels]),
            doc: `pixels in [-1, 1] to moments (KL: means, then logarithms of variances) or latents; the denoiser sees (latents - ${firstStage.shift}) * ${firstStage.scale}.`,
          },
          {
            name: 'decoder',
            component: 'firstStage' as const,
            graph: decoderGraph(firstStage, [1, latentChannels(firstStage), side, side]),
            doc: 'latents as the denoiser sees them to pixels in [-1, 1].',
          },
        ]),
  ]
  return collect(
    built.map(({ graph, ...about }) =>
      pipe(
        graph,
        E.map((g): PortableNetwork => ({ ...about, graph: g })),
      ),
    ),
  )
}

/** A network around its weights, in standard operators. Errors: `file`, a weight that is not there. */
export const portableModel = ({ graph, component }: PortableNetwork, weights: Weights): Effect<Model> =>
  pipe(
    weightsOf(graph, component, weights),
    TE.map((values) => asNamed(portable(graph, values))),
  )
