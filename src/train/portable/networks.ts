import type { Checked } from '../../error.ts'
import { asNamed } from '../../execute/onnx/portable.ts'
import type { Model } from '../../execute/onnx/proto.ts'
import { aheadProgram, type LatentDiffusion, samplingProgram } from '../../experiment/diffusion-stage.ts'
import { decoderGraph, encoderGraph } from '../../experiment/first-stage.ts'
import type { Sampling } from '../../experiment/sampling.ts'
import { type Graph, isNode } from '../../graph/graph.ts'
import { E, pipe, RR } from '../../prelude.ts'
import { leaves } from '../../samplers/index.ts'
import { prune } from '../../transform/index.ts'
import { type Drawn, portableOf, stateOf } from './sampler.ts'

/** Leaves and outputs of a sampler's step as they are called in the literature. */
const spoken: Readonly<Record<string, string>> = { [leaves.x]: 'x_t', [leaves.t]: 't', said: 'prediction' }
const asSpoken = (g: Graph): Graph => ({
  nodes: g.nodes.map((n) =>
    isNode('input')(n)
      ? { ...n, attributes: { ...n.attributes, name: spoken[n.attributes.name] ?? n.attributes.name } }
      : n,
  ),
  outputs: Object.fromEntries(Object.entries(g.outputs).map(([name, i]) => [spoken[name] ?? name, i])),
})

/** What a denoiser says of one picture: `x_t` and `t`, and what it is told, to `prediction`. */
export const denoiserGraph = (model: LatentDiffusion, sampling: Sampling): Checked<Graph> =>
  pipe(
    samplingProgram(model, { ...sampling, guidance: 1 }, 1, { watch: ['said'] }),
    E.map(({ graph }) => asSpoken(prune(['said'])(graph))),
  )

/** The networks of a run, each by itself, in standard operators, by the names of their files. Errors: those of their graphs. */
export const networkModels = (run: Drawn): Checked<Readonly<Record<string, Model>>> => {
  const { experiment, model, firstStage, scale } = run
  const stage = experiment.firstStage
  const state = stateOf(run)
  return pipe(
    E.Do,
    E.bind('denoiser', () => denoiserGraph(model, experiment.sampling)),
    E.flatMap(({ denoiser }) => {
      const text = aheadProgram(model, 1, denoiser)
      const wanted: Readonly<Record<string, Checked<Model>>> = {
        denoiser: portableOf(E.right(denoiser), state, scale),
        ...(text === undefined ? {} : { text_encoder: portableOf(text, state, scale) }),
        ...(stage.kind === 'identity'
          ? {}
          : {
              encoder: portableOf(encoderGraph(stage, model.config.latents, 1), firstStage, scale),
              decoder: portableOf(decoderGraph(stage, 1), firstStage, scale),
            }),
      }
      return RR.sequence(E.Applicative)(wanted)
    }),
    E.map(RR.map(asNamed)),
  )
}
