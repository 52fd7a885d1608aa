import { fillNormal, fold, key } from '../../src/distributions/random.ts'
import { floats, ints, type Value, type Values } from '../../src/execute/executor.ts'
import { diffusionLoss } from '../../src/experiment/diffusion-stage.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes, type Graph, noises } from '../../src/graph/graph.ts'
import { size, type TensorType } from '../../src/graph/types.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { grad, optimise, trainable } from '../../src/transform/index.ts'
import { frozen } from './cases.ts'
import { right } from './run.ts'

const drawn = (name: string, { dtype, shape }: TensorType): Value => {
  if (dtype !== 'float32') return ints(shape, new Int32Array(size(shape)).fill(1))
  const data = new Float32Array(size(shape))
  fillNormal(fold(key(5), name), data)
  const kernel = shape.length > 1 && name.endsWith('weight')
  const gain = shape.length === 1 && name.endsWith('weight')
  return floats(
    shape,
    data.map((z) => (kernel ? z / Math.sqrt(size(shape.slice(1))) : gain ? 1 + z / 10 : shape.length < 2 ? z / 10 : z)),
  )
}
/** Normal weights scaled by their fan-in, so that no result is zero for a zero start. */
export const fed = (g: Graph): Values =>
  Object.fromEntries(Object.entries(feedTypes(g)).map(([name, type]) => [name, drawn(name, type)]))

/** The loss of the small U-Net and its gradients, `g0`, `g1` and so on, with what they are fed. */
export const stepOfUNet = async (batch: number) => {
  const { diffusion } = right(planExperiment(right(await loadExperiment('graphs/tiny.json')()), 8))
  if (diffusion === undefined) throw new Error('tiny has a diffusion stage')
  const { loss } = diffusionLoss(diffusion.model, batch)
  const gradients = Object.fromEntries(grad(loss, trainable(loss)).map((g, i) => [`g${i}`, g]))
  const graph = optimise(frozen({ loss, ...gradients }))
  const timesteps = noises(graph).flatMap(({ name, shape, distribution }) =>
    distribution === 'uniform'
      ? [
          [
            name,
            floats(
              shape,
              Float32Array.from({ length: size(shape) }, (_, i) => (i + 0.5) / size(shape)),
            ),
          ] as const,
        ]
      : [],
  )
  return { graph, feeds: { ...fed(graph), ...Object.fromEntries(timesteps) } }
}

/** All gradients of a step as one vector: its norm, and how far from another's it is. */
const gradientsIn = (v: Values): readonly (readonly number[])[] =>
  Object.keys(v).flatMap((name) => (name === 'loss' ? [] : [Array.from<number>(v[name]?.data ?? [])]))
const lengthOf = (vs: readonly (readonly number[])[]): number => Math.sqrt(vs.flat().reduce((sum, x) => sum + x * x, 0))
export const normOf = (v: Values): number => lengthOf(gradientsIn(v))
export const apart = (a: Values, b: Values): number => {
  const others = gradientsIn(b)
  return lengthOf(gradientsIn(a).map((g, i) => g.map((x, k) => x - (others[i]?.[k] ?? Number.NaN))))
}
