import { type Effect, effect } from '../error.ts'
import { arithmeticOf, halfHere } from '../execute/half-here.ts'
import { autoencoderOf, type Experiment, type Training } from '../experiment/document.ts'
import { type Problems, problem, setting } from '../experiment/problems.ts'
import { cost } from '../graph/cost.ts'
import type { Half } from '../graph/types.ts'
import { precision as inHalf } from '../transform/index.ts'
import type { StepPlan } from './step.ts'

/** The step in its training's precision. */
export const inPrecision =
  ({ precision }: Pick<Training, 'precision'>) =>
  (step: StepPlan): StepPlan =>
    precision === 'float32'
      ? step
      : {
          ...step,
          graph: inHalf(precision)(step.graph),
          inFloat32: { peakBytes: cost(step.graph).peakBytes },
        }

/** The trainings of an experiment that are in half precision, by their JSON pointers. */
const halvesOf = (e: Experiment): readonly (readonly [at: string, dtype: Half])[] =>
  [
    ['/firstStage/training/precision', autoencoderOf(e)?.training.precision ?? 'float32'] as const,
    ['/diffusion/training/precision', e.diffusion?.training.precision ?? 'float32'] as const,
  ].flatMap(([at, dtype]) => (dtype === 'float32' ? [] : [[at, dtype] as const]))

/** Engines that have not what is asked for. */
export const precisionRule = (e: Experiment, executor: string): Problems =>
  halvesOf(e).flatMap(([at, dtype]) =>
    arithmeticOf(executor, dtype) === 'refuses'
      ? [problem(at, `float32, as ${executor} has no ${dtype}`, dtype, setting({ '/executor': 'onnx:cpu' }))]
      : [],
  )
/** How half precision is computed where it is not the device's own. */
export const precisionNotes = (e: Experiment, executor: string): Effect<readonly string[]> =>
  effect(async (run) => {
    const notes: string[] = []
    for (const dtype of new Set(halvesOf(e).map(([, half]) => half))) {
      const says = await run(halfHere(executor, dtype))
      if (says !== undefined) notes.push(`precision: ${says}`)
    }
    return notes
  })
