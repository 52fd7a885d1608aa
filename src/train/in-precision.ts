import { halfArithmetic } from '../execute/half-arithmetic.ts'
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
const arithmeticOf = (executor: string, dtype: Half) =>
  Object.entries(halfArithmetic).find(([name]) => name === executor)?.[1][dtype]

/** Engines that have not what is asked for. */
export const precisionRule = (e: Experiment, executor: string): Problems =>
  halvesOf(e).flatMap(([at, dtype]) =>
    arithmeticOf(executor, dtype) === 'refuses'
      ? [problem(at, `float32, as ${executor} has no ${dtype}`, dtype, setting({ '/executor': 'onnx:cpu' }))]
      : [],
  )
/** What half precision costs where it is not the processor's own. */
export const precisionNotes = (e: Experiment, executor: string): readonly string[] =>
  [...new Set(halvesOf(e).map(([, dtype]) => dtype))].flatMap((dtype) =>
    arithmeticOf(executor, dtype) === 'simulates'
      ? [
          `precision: ${executor} computes ${dtype} in float32 and rounds: the same numbers, in more time than float32 takes`,
        ]
      : [],
  )
