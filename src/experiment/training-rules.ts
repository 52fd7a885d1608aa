import type { LatentError } from '../error.ts'
import { E } from '../prelude.ts'
import { checkLearningRate } from '../schedulers/learning-rate.ts'
import type { Training } from './document.ts'
import { type DeclaredRate, rateOver } from './learning-rate.ts'
import type { PostHocEma } from './post-hoc-ema.ts'
import { type Problems, setting, unless } from './problems.ts'

/** A warm-up that is too long for fewer steps than it was declared for: a fourth of them is not. */
const hinted = (e: LatentError, steps: number): LatentError =>
  e.at.endsWith('/warmUp') && e.hint === undefined ? { ...e, hint: setting({ [e.at]: Math.floor(steps / 4) }) } : e
/** Rates that make no sense over a training of so many steps. */
const rateRules = (at: string, declared: DeclaredRate, steps: number): Problems => {
  const checked = checkLearningRate(rateOver(declared, steps))
  return [
    ...(declared.kind === 'warm-up' || declared.kind === 'cosine-restarts'
      ? unless(declared.warmUp <= steps, `${at}/warmUp`, `at most the ${steps} steps of this training`, declared.warmUp)
      : []),
    ...(E.isLeft(checked) ? checked.left.map((e) => ({ ...e, at: `${at}${e.at}` })) : []),
  ].map((e) => hinted(e, steps))
}

const mostSnapshots = 256
const postHocRules = (at: string, { every, sigmaRel }: PostHocEma, steps: number): Problems => [
  ...unless(
    new Set(sigmaRel).size === sigmaRel.length,
    `${at}/sigmaRel`,
    'widths that differ: others are made of what tells them apart',
    sigmaRel,
  ),
  ...unless(
    steps / every <= mostSnapshots,
    `${at}/every`,
    `at least ${Math.ceil(steps / mostSnapshots)}, for ${mostSnapshots} snapshots: each is ${sigmaRel.length} copies of the weights on the disk`,
    every,
  ),
]

/** What of an optimiser does not fit together, over so many steps. */
export const optimizerRules = (
  at: string,
  { learningRate, optimizer, steps }: Pick<Training, 'learningRate' | 'optimizer' | 'steps'>,
): Problems => [
  ...rateRules(`${at}/learningRate`, learningRate, steps),
  ...unless(
    learningRate.rate * optimizer.weightDecay <= 1,
    `${at}/optimizer/weightDecay`,
    `at most ${1 / learningRate.rate}, 1 over the learning rate: more would turn the weights around at each step`,
    optimizer.weightDecay,
  ),
]

/** What of a training does not fit together. */
export const trainingRules = (at: string, training: Training): Problems => {
  const { accumulate, batchSize, microBatches, precision, steps, validate, postHocEma } = training
  return [
    ...unless(
      batchSize % microBatches === 0,
      `${at}/microBatches`,
      `a divisor of ${batchSize}, the batch size`,
      microBatches,
    ),
    ...unless(
      precision !== 'float16' || accumulate === 1,
      `${at}/precision`,
      'bfloat16 or float32, where a step takes several batches: float16 scales one loss',
      precision,
      setting({ [`${at}/precision`]: 'bfloat16' }),
    ),
    ...optimizerRules(at, training),
    ...unless(
      (validate?.every ?? 1) <= steps,
      `${at}/validate/every`,
      `at most the ${steps} steps of this training`,
      validate?.every,
      setting({ [`${at}/validate/every`]: steps }),
    ),
    ...(postHocEma === undefined ? [] : postHocRules(`${at}/postHocEma`, postHocEma, steps)),
  ]
}
