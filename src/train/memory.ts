import { totalmem } from 'node:os'
import type { Found } from '../data/dataset.ts'
import type { ExecutorName } from '../execute/names.ts'
import { ownTextsOf } from '../experiment/conditioning.ts'
import { learntAheadProgram, samplingProgram } from '../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment, type Training } from '../experiment/document.ts'
import { encodedShape, reconstructionGraph } from '../experiment/first-stage.ts'
import { type Problems, problem } from '../experiment/problems.ts'
import { cost } from '../graph/cost.ts'
import { size } from '../graph/types.ts'
import { E } from '../prelude.ts'
import { drawnAtATime } from './drawing.ts'
import { batchFor } from './inference.ts'
import { type Plan, type StagePlan, stagesOf, trainingOf } from './plan.ts'

/** How much memory a run takes, reckoned from shapes before it begins. */

/** Node, the runtime and its sessions for pictures, measured on small experiments. */
export const programBytes = 350 * 2 ** 20

export interface Memory {
  /** What pictures take as bytes. */
  readonly pictures: number
  /** Of each stage: the arrays of a step, its state among them, the state once more to read it, and those of a validation. */
  readonly steps: Readonly<Record<string, number>>
  /** Pictures through the first stage, or without one drawn by the sampler, to be looked at. */
  readonly previews: number
  /** Weights of text encoders, which stay as they are, and once more where they run. */
  readonly held?: number
  /** On the disk. */
  readonly latents: number
  /** At most, on one machine. */
  readonly whole: number
}

/** Held-out pictures through a stage, whose weights are fed. */
const validationBytes = ({ validation }: StagePlan, training: Training | undefined): number => {
  if (training?.validate === undefined) return 0
  const graph = validation(training.batchSize)
  return E.isRight(graph) ? cost(graph.right).peakBytes : 0
}

const stepBytes = (e: Experiment, stage: StagePlan): number => {
  const { peakBytes, parameterBytes } = cost(stage.step.graph)
  return peakBytes + parameterBytes + validationBytes(stage, trainingOf(e, stage))
}

const previewBytes = (e: Experiment, { diffusion }: Plan): number => {
  const stage = autoencoderOf(e)
  if (stage !== undefined) {
    const graph = reconstructionGraph(stage, batchFor(stage))
    return E.isRight(graph) ? cost(graph.right).peakBytes : 0
  }
  if (diffusion === undefined) return 0
  const drawing = samplingProgram(diffusion.model, e.sampling, drawnAtATime(diffusion.model.latent))
  return E.isRight(drawing) ? cost(drawing.right.graph).peakBytes : 0
}

const heldBytes = (e: Experiment, { diffusion }: Plan): number => {
  if (diffusion === undefined || ownTextsOf(e.diffusion?.conditioning) === undefined) return 0
  const texts = learntAheadProgram(diffusion.model, 1)
  return texts === undefined || E.isLeft(texts) ? 0 : 2 * cost(texts.right).parameterBytes
}

/** What an experiment needs for pictures that were found. */
export const memoryOf = (e: Experiment, found: Pick<Found, 'n' | 'bytes'>, plan: Plan): Memory => {
  const steps = Object.fromEntries(stagesOf(plan).map((stage) => [stage.name, stepBytes(e, stage)]))
  const previews = previewBytes(e, plan)
  const stage = autoencoderOf(e)
  const held = heldBytes(e, plan)
  return {
    ...(held === 0 ? {} : { held }),
    pictures: found.bytes,
    steps,
    previews,
    latents: stage === undefined || e.diffusion === undefined ? 0 : 4 * found.n * size(encodedShape(stage)),
    whole: programBytes + found.bytes + held + Math.max(previews, ...Object.values(steps)),
  }
}

/** Bytes that a process may have here: the machine's, or less where it is told so (cgroups). */
export const memoryHere = (): number => {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}

export const shownBytes = (bytes: number): string =>
  bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`

const partsOf = ({ pictures, steps, previews, held }: Memory): string =>
  [
    `pictures ${shownBytes(pictures)}`,
    ...Object.entries(steps).map(([name, bytes]) => `a step of ${name} ${shownBytes(bytes)}`),
    `previews ${shownBytes(previews)}`,
    ...(held === undefined ? [] : [`text encoders ${shownBytes(held)}`]),
    `the program ${shownBytes(programBytes)}`,
  ].join(', ')

/** A line for people. */
export const memoryLine = (memory: Memory, here: number): string =>
  `memory: about ${shownBytes(memory.whole)} of ${shownBytes(here)} (${partsOf(memory)})${
    memory.latents === 0 ? '' : `; latents: ${shownBytes(memory.latents)} on the disk`
  }`

/** Executors that compute in the machine's own memory. */
const onHost: { readonly [N in ExecutorName]: boolean } = {
  reference: true,
  onnx: true,
  'onnx:cpu': true,
  onednn: true,
  'xla:cuda': false,
  'xla:rocm': false,
  'xla:tpu': false,
  'xla:cpu': true,
  'onnx:webgpu': false,
  'tfjs:node-gpu': false,
  'tfjs:node': true,
  'tfjs:webgpu': false,
  'tfjs:wasm': true,
  'tfjs:cpu': true,
}
const computesHere = (executor: string): boolean =>
  Object.entries(onHost).some(([name, own]) => own && name === executor)

/** A run that cannot fit is refused before it begins, by what would take most. */
export const memoryRule = (memory: Memory, here: number, executor: string): Problems => {
  const { pictures, steps, previews, whole } = memory
  const onDevice = !computesHere(executor)
  if ((onDevice ? programBytes + pictures : whole) <= here) return []
  const largest = Object.entries(steps).reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0])
  const [at, hint] =
    onDevice || pictures > Math.max(largest[1], previews)
      ? ['/data/size', 'smaller pictures, or fewer of them']
      : largest[1] >= previews
        ? [
            largest[0] === 'diffusion' ? '/diffusion/training/batchSize' : '/firstStage/training/batchSize',
            'a smaller batch, smaller pictures or a smaller network',
          ]
        : ['/data/size', 'smaller pictures or a smaller network']
  return [
    problem(
      at,
      `what fits into the memory of this machine, ${shownBytes(here)}`,
      `about ${shownBytes(whole)}: ${partsOf(memory)}`,
      hint,
    ),
  ]
}
