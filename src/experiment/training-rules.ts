import { E } from '../prelude.ts'
import { checkLearningRate } from '../schedulers/learning-rate.ts'
import type { Training } from './document.ts'
import { type DeclaredRate, rateOver } from './learning-rate.ts'
import { type Problems, unless } from './problems.ts'

/** Rates that make no sense over a training of so many steps. */
const rateRules = (at: string, declared: DeclaredRate, steps: number): Problems => {
  const checked = checkLearningRate(rateOver(declared, steps))
  return [
    ...(declared.kind === 'warm-up' || declared.kind === 'cosine-restarts'
      ? unless(declared.warmUp <= steps, `${at}/warmUp`, `at most the ${steps} steps of this training`, declared.warmUp)
      : []),
    ...(E.isLeft(checked) ? checked.left.map((e) => ({ ...e, at: `${at}${e.at}` })) : []),
  ]
}

/** What of a training does not fit together. */
export const trainingRules = (
  at: string,
  { batchSize, learningRate, microBatches, optimizer, steps, validate }: Training,
): Problems => [
  ...unless(
    batchSize % microBatches === 0,
    `${at}/microBatches`,
    `a divisor of ${batchSize}, the batch size`,
    microBatches,
  ),
  ...rateRules(`${at}/learningRate`, learningRate, steps),
  ...unless(
    (validate?.every ?? 1) <= steps,
    `${at}/validate/every`,
    `at most the ${steps} steps of this training`,
    validate?.every,
  ),
  ...unless(
    learningRate.rate * optimizer.weightDecay <= 1,
    `${at}/optimizer/weightDecay`,
    `at most ${1 / learningRate.rate}, 1 over the learning rate: more would turn the weights around at each step`,
    optimizer.weightDecay,
  ),
]
