import type { Checked, LatentError } from '../error.ts'
import type { Experiment, Training } from '../experiment/document.ts'
import { type Problems, problem, setting } from '../experiment/problems.ts'
import { cost } from '../graph/cost.ts'
import { E, pipe } from '../prelude.ts'
import { checkpoint } from '../transform/index.ts'
import type { StepPlan } from './step.ts'

const mebibyte = 2 ** 20

const unmet = (at: string, budget: number, bytes: number): LatentError => {
  const least = Math.ceil(bytes / mebibyte)
  return problem(
    at,
    `at least ${least}, the fewest MiB that a step is found to do with`,
    budget,
    `${setting({ [at]: least })}, or a smaller batchSize, of which accumulate takes several to a step`,
  )
}

/**
 * The step within its training's memory budget: it computes a second time what it does not keep. `part` is the training's JSON
 * pointer. Error: `config`, a budget that is too small.
 */
export const withinBudget =
  (part: string, { memoryBudget }: Pick<Training, 'memoryBudget'>) =>
  (step: StepPlan): Checked<StepPlan> => {
    if (memoryBudget === undefined) return E.right(step)
    const { peakBytes, flops } = cost(step.graph)
    return pipe(
      step.graph,
      checkpoint(step.intent.losses.slice(0, 1), memoryBudget * mebibyte),
      E.bimap(
        (bytes) => [unmet(`${part}/memoryBudget`, memoryBudget, bytes)] as const,
        (graph) => ({ ...step, graph, unbudgeted: { peakBytes, flops } }),
      ),
    )
  }

/** TensorFlow.js computes equal things once, wherever they are asked for: there a second time would be no time. */
export const budgetRule = ({ firstStage, diffusion }: Experiment, executor: string): Problems =>
  [
    ['/firstStage', 'training' in firstStage ? firstStage.training : undefined] as const,
    ['/diffusion', diffusion?.training] as const,
  ].flatMap(([part, training]) =>
    training?.memoryBudget !== undefined && executor.startsWith('tfjs')
      ? [
          problem(
            `${part}/training/memoryBudget`,
            `nothing, as ${executor} keeps what it could compute again`,
            training.memoryBudget,
            setting({ '/executor': 'onnx:cpu' }),
          ),
        ]
      : [],
  )
