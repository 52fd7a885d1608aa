import { type Network, textNetwork, unetNetwork } from '../adapters/index.ts'
import type { Checked } from '../error.ts'
import { parameters } from '../graph/graph.ts'
import { E, pipe } from '../prelude.ts'
import type { PipelineDocument } from './document.ts'
import { graphsOf } from './networks.ts'
import type { Component } from './weights.ts'

/** The networks of a model that adapters may change: its U-Net, and its text encoders of CLIP. */
export const adaptableNetworks = (document: PipelineDocument): Checked<readonly Network[]> =>
  pipe(
    graphsOf(document),
    E.map((graphs) => {
      const shapesOf = (component: Component): Network['shapes'] => {
        const graph = graphs[component]
        return graph === undefined ? {} : Object.fromEntries(parameters(graph).map(({ name, shape }) => [name, shape]))
      }
      return [
        unetNetwork(document.unet, shapesOf('unet')),
        ...document.conditioning.text.flatMap(({ encoder }, k) =>
          encoder.kind === 'clip' ? [textNetwork(k, encoder.config, shapesOf(`text.${k}`))] : [],
        ),
      ]
    }),
  )
