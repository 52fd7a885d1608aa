import { type Checked, fail } from '../../error.ts'
import { floats, type Value, type Values } from '../../execute/executor.ts'
import { inOne, type LoopPart, type Part, pictureModel, portable, unscaled } from '../../execute/onnx/portable.ts'
import type { Model } from '../../execute/onnx/proto.ts'
import { constantOf, type Initializer } from '../../execute/onnx/value.ts'
import {
  aheadProgram,
  diffusionLeaves,
  type LatentDiffusion,
  samplingProgram,
} from '../../experiment/diffusion-stage.ts'
import type { Experiment } from '../../experiment/document.ts'
import { decoderGraph } from '../../experiment/first-stage.ts'
import { guidanceAt } from '../../experiment/sampling.ts'
import { feedTypes, type Graph, noises, parameters } from '../../graph/graph.ts'
import { type Shape, size } from '../../graph/types.ts'
import { E, pipe } from '../../prelude.ts'
import { carryOf, coefficientLeaf, leaves, memoryLeaves, type PlannedStep } from '../../samplers/index.ts'
import { asPart, weightsFor } from '../inference.ts'
import { type Draws, noiseModel } from './noise.ts'

/** What a run draws with. */
export interface Drawn {
  readonly experiment: Experiment
  readonly model: LatentDiffusion
  /** What latents were multiplied by. */
  readonly scale: number
  readonly firstStage: Values
  readonly diffusion: Values
}

const scalar = (x: number): Value => floats([], Float32Array.of(x))
/** Weights, and the number that latents were multiplied by, which is none. */
const baked = (g: Graph, state: Values, scale: number): Values => {
  const types = feedTypes(g)
  return {
    ...weightsFor(g, state),
    ...(Object.hasOwn(types, diffusionLeaves.scale) ? { [diffusionLeaves.scale]: scalar(scale) } : {}),
  }
}
/** Weights that a graph asks for and a state lacks. */
const lacking = (g: Graph, state: Values): string | undefined => {
  const found = weightsFor(g, state)
  return parameters(g).find(({ name }) => name !== diffusionLeaves.scale && !Object.hasOwn(found, name))?.name
}
const made = (g: Graph, state: Values, scale: number): Checked<Model> => {
  const missing = lacking(g, state)
  return missing === undefined
    ? E.right(portable(g, baked(g, state, scale)))
    : fail('file', missing, 'among the weights', 'nothing')
}
/** A graph around a state's weights, in standard operators. Errors: those of the graph; `file`, a weight that is not there. */
export const portableOf = (graph: Checked<Graph>, state: Values, scale: number): Checked<Model> =>
  pipe(
    graph,
    E.flatMap((g) => made(g, state, scale)),
  )
export const stateOf = ({ firstStage, diffusion }: Drawn): Values => ({ ...asPart(firstStage), ...diffusion })

const numbers = (name: string, shape: Shape, data: ArrayLike<number>): Initializer => ({
  name,
  value: constantOf('float32', shape, Float32Array.from(data)),
})
/** A row a step for the leaves that a step is fed numbers through. */
const tablesOf = (
  { experiment, model }: Drawn,
  graph: Graph,
  steps: readonly PlannedStep[],
): ReadonlyMap<string, Initializer> => {
  const types = feedTypes(graph)
  const tables = new Map<string, Initializer>()
  const put = (leaf: string, shape: Shape, of: (step: PlannedStep) => number): void => {
    if (Object.hasOwn(types, leaf)) tables.set(leaf, numbers(`table/${leaf}`, [steps.length, ...shape], steps.map(of)))
  }
  put(leaves.t, [1], ({ level }) => level.t)
  put(diffusionLeaves.guidance, [], ({ level }) => guidanceAt(experiment.sampling, model.path, level.t))
  for (const c of Object.keys(steps[0]?.coefficients ?? {}))
    put(coefficientLeaf(c), [], (step) => step.coefficients[c] ?? 0)
  return tables
}

/**
 * A sampler with all its steps as one model: from `seed` (int64) and what is asked for, such as `tokens` or `labels` (int32), to `picture`
 * (uint8 [H, W, C]): the picture that `sample` draws first. Errors: those of its graphs, `config` where the condition is a picture.
 */
export const samplerModel = (run: Drawn): Checked<Model> => {
  const { experiment, model, scale, firstStage } = run
  if (model.conditioner.pictures !== undefined)
    return fail(
      'config',
      '/diffusion/conditioning',
      'a condition that is not a picture',
      'one that is made of a picture',
    )
  const state = stateOf(run)
  const shape = [1, ...model.latent]
  const stage = experiment.firstStage
  return pipe(
    E.Do,
    E.bind('program', () => samplingProgram(model, experiment.sampling, 1)),
    E.bind('step', ({ program }) => made(program.graph, state, scale)),
    E.bind('ahead', ({ program }): Checked<Model | undefined> => {
      const graph = aheadProgram(model, 1, program.graph)
      return graph === undefined ? E.right(undefined) : portableOf(graph, state, scale)
    }),
    E.bind(
      'decode',
      (): Checked<Model | undefined> =>
        stage.kind === 'identity' ? E.right(undefined) : portableOf(decoderGraph(stage, 1), firstStage, scale),
    ),
    E.map(({ program: { graph, plan }, step, ahead, decode }) => {
      const carry = carryOf(plan)
      const drawn = noises(graph).map(
        ({ name }): Draws => ({
          name,
          leaf: name,
          steps: plan.steps.map(({ index }) => index),
          shape,
        }),
      )
      const tables = tablesOf(run, graph, plan.steps)
      const nothing = numbers('memory', shape, new Float32Array(size(shape)))
      const initial = memoryLeaves(plan).length === 0 ? [] : [nothing]
      const told = Object.fromEntries(
        (ahead?.outputs ?? []).map(({ name }) => [name.slice(4), `told/${name.slice(4)}`]),
      )
      const loop: LoopPart = {
        name: 'walk',
        model: step,
        inputs: told,
        steps: plan.steps.length,
        carry,
        start: {
          [leaves.x]: 'noise/beginning',
          ...Object.fromEntries(memoryLeaves(plan).map((name) => [name, 'memory'])),
        },
        rows: {
          ...Object.fromEntries([...tables].map(([leaf, { name }]) => [leaf, name])),
          ...Object.fromEntries(drawn.map(({ name }) => [name, `noise/${name}`])),
        },
        numbers: [...tables.values(), ...initial],
      }
      const parts: readonly (Part | LoopPart)[] = [
        {
          name: 'noise',
          model: noiseModel([{ name: 'beginning', leaf: leaves.x, steps: [0], shape: model.latent }, ...drawn]),
        },
        ...(ahead === undefined ? [] : [{ name: 'told', model: ahead }]),
        loop,
        { name: 'unscaled', model: unscaled(shape, scale), inputs: { x: 'walk/last/x' } },
        ...(decode === undefined ? [] : [{ name: 'decoded', model: decode, inputs: { latents: 'unscaled/latents' } }]),
        {
          name: 'drawn',
          model: pictureModel(decode?.outputs[0]?.type?.shape ?? shape),
          inputs: { pixels: decode === undefined ? 'unscaled/latents' : 'decoded/pixels' },
        },
      ]
      return inOne(parts, { picture: 'drawn/picture' })
    }),
  )
}
