import { freeze, input, oneHot, reshape, type Tensor, transpose } from '../declare/index.ts'
import { type Checked, collect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int } from '../graph/types.ts'
import { embedding } from '../nn/layers.ts'
import { codebookEntries } from '../nn/quantize.ts'
import { spatialRescaler } from '../nn/resize.ts'
import { transformerEmbedder } from '../nn/text/bert.ts'
import { unet } from '../nn/unet/unet.ts'
import { E, pipe } from '../prelude.ts'
import type { Beside, Networked, PipelineDocument } from './document.ts'
import { decoder, encoder, factorOf } from './first-stage.ts'
import { textGraph } from './texts.ts'
import type { Component } from './weights.ts'

/** Every network of a model, over the smallest inputs: which parameters there are. */

/** Encoder, decoder and codebook of a first stage. */
export const firstStageNetworks = (stage: Networked): Checked<Graph> => {
  const { network } = stage
  const side = factorOf(stage)
  const codes: Readonly<Record<string, Tensor>> =
    stage.kind === 'vq'
      ? {
          codes: pipe(
            input('codes', int(1, 1, 1)),
            codebookEntries('quantize', { entries: stage.entries, dim: stage.network.latentChannels }),
          ),
        }
      : {}
  return freeze({
    encoded: pipe(input('pixels', float(1, network.inChannels, side, side)), encoder(stage)),
    decoded: pipe(input('latents', float(1, network.latentChannels, 1, 1)), decoder(stage)),
    ...codes,
  })
}

const ofUnet = ({ unet: config }: PipelineDocument): Checked<Graph> => {
  const side = 2 ** (config.channelMultipliers.length - 1)
  const { attention, classes } = config
  return freeze({
    said: unet('', config)(input('x', float(1, config.inChannels, side, side)), input('t', float(1)), {
      ...(attention.kind === 'transformer' ? { context: input('context', float(1, 1, attention.contextDim)) } : {}),
      ...(classes === null ? {} : { y: input('y', int(1)) }),
      ...(config.vector === undefined ? {} : { y: input('y', float(1, config.vector)) }),
    }),
  })
}

export const classTokens = (entries: number, dim: number, n: number): Checked<Graph> =>
  freeze({ token: pipe(input('labels', int(n)), embedding('embedding', { entries, dim }), reshape(n, 1, dim)) })

/** Label maps int32[N, H, W] to channels as large as the latents. */
export const labelChannels = (
  { labels, rescaler }: Extract<Beside, { readonly kind: 'label-map' }>,
  shape: readonly [n: number, height: number, width: number],
): Checked<Graph> =>
  freeze({
    channels: pipe(
      input('labels', int(...shape)),
      oneHot(labels),
      transpose(0, 3, 1, 2),
      spatialRescaler('', rescaler),
    ),
  })

type Boxes = NonNullable<PipelineDocument['conditioning']['boxes']>
/** Boxes as tokens int32[N, L] to what attention sees. */
export const boxStates = ({ encoder }: Boxes, n: number): Checked<Graph> =>
  freeze({ states: pipe(input('ids', int(n, encoder.positions)), transformerEmbedder('', encoder)) })

/** Graphs that have all parameters of each component. */
export const graphsOf = (document: PipelineDocument): Checked<Readonly<Record<string, Graph>>> => {
  const { classes, text, boxes, beside } = document.conditioning
  const built: readonly (readonly [Component, Checked<Graph>])[] = [
    ['unet', ofUnet(document)],
    ...(document.firstStage.kind === 'pixels'
      ? []
      : [['firstStage', firstStageNetworks(document.firstStage)] as const]),
    ...text.map((part, k) => [`text.${k}` as const, textGraph({ ...part, skip: 0, normalized: true }, 1, 1)] as const),
    ...(classes === null ? [] : [['classes', classTokens(classes.entries, classes.dim, 1)] as const]),
    ...(boxes === null ? [] : [['boxes', boxStates(boxes, 1)] as const]),
    ...(beside?.kind === 'label-map' && beside.rescaler.outChannels !== null
      ? [
          [
            'rescaler',
            labelChannels(beside, [1, factorOf(document.firstStage), factorOf(document.firstStage)]),
          ] as const,
        ]
      : []),
  ]
  return pipe(
    collect(
      built.map(([component, graph]) =>
        pipe(
          graph,
          E.map((g) => [component, g] as const),
        ),
      ),
    ),
    E.map(Object.fromEntries),
  )
}
