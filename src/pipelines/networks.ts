import { freeze, input, reshape, type Tensor } from '../declare/index.ts'
import { type Checked, collect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int } from '../graph/types.ts'
import { decode, encode } from '../nn/autoencoder/autoencoder.ts'
import { embedding } from '../nn/layers.ts'
import { codebookEntries } from '../nn/quantize.ts'
import { unet } from '../nn/unet/unet.ts'
import { E, pipe } from '../prelude.ts'
import type { PipelineDocument } from './document.ts'
import type { Component } from './weights.ts'

/** Every network of a model, over the smallest inputs: which parameters there are. */

const firstStage = ({ firstStage: stage }: PipelineDocument): Checked<Graph> => {
  const { network } = stage
  const side = 2 ** (network.channelMultipliers.length - 1)
  const codes: Readonly<Record<string, Tensor>> =
    stage.kind === 'vq'
      ? {
          codes: pipe(
            input('codes', int(1, 1, 1)),
            codebookEntries('quantize', { entries: stage.entries, dim: network.latentChannels }),
          ),
        }
      : {}
  return freeze({
    encoded: pipe(input('pixels', float(1, network.inChannels, side, side)), encode('', network)),
    decoded: pipe(input('latents', float(1, network.latentChannels, 1, 1)), decode('', network)),
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
    }),
  })
}

export const classTokens = (entries: number, dim: number, n: number): Checked<Graph> =>
  freeze({ token: pipe(input('labels', int(n)), embedding('embedding', { entries, dim }), reshape(n, 1, dim)) })

/** Graphs that have all parameters of each component. */
export const graphsOf = (document: PipelineDocument): Checked<Readonly<Record<string, Graph>>> => {
  const { classes } = document.conditioning
  const built: readonly (readonly [Component, Checked<Graph>])[] = [
    ['unet', ofUnet(document)],
    ['firstStage', firstStage(document)],
    ...(classes === null ? [] : [['classes', classTokens(classes.entries, classes.dim, 1)] as const]),
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
