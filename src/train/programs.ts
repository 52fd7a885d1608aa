import type { Carry } from '../execute/executor.ts'
import type { ExplainOptions } from '../execute/explain.ts'
import { samplingProgram } from '../experiment/diffusion-stage.ts'
import type { Experiment } from '../experiment/document.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import { E } from '../prelude.ts'
import { drawnAtATime } from './drawing.ts'
import { type Plan, stagesOf } from './plan.ts'

/** A graph that is run many times, and how it is compiled. */
export interface Program {
  readonly name: string
  readonly graph: Graph
  readonly options: ExplainOptions
}
/** Weights that are known before anything runs: in training those that are read from files and stay. */
const baked = (g: Graph, mode: ExplainOptions['mode']): readonly string[] =>
  parameters(g).flatMap(({ name, init }) => (mode === 'sampling' || init.kind === 'loaded' ? [name] : []))
export const programOf = (name: string, graph: Graph, mode: ExplainOptions['mode'], carry: Carry = {}): Program => ({
  name,
  graph,
  options: { mode, baked: baked(graph, mode), carry },
})

/** The programs of an experiment: the steps of its stages and, where it has a sampler, a step of that. */
export const programsOf = (e: Experiment, plan: Plan): readonly Program[] => {
  const steps = stagesOf(plan).map(({ name, step }) => programOf(name, step.graph, 'training', step.carry))
  if (plan.diffusion === undefined) return steps
  const { model } = plan.diffusion
  const sampling = samplingProgram(model, e.sampling, drawnAtATime(model.latent))
  return E.isRight(sampling) ? [...steps, programOf('sampling', sampling.right.graph, 'sampling')] : steps
}
