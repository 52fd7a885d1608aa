import { anneals, type LearningRate, learningRateDefaults, oneCycleDefaults } from '../schedulers/learning-rate.ts'
import { type Decoded, flag, integer, list, number, record, tagged, withDefault, word } from '../schema.ts'

/** How the learning rate of a training is declared: rows of `schedulers/learning-rate.ts`, as long as the training. */

const rate = number({ min: 1e-12, max: 100 })
const count = integer({ min: 1, max: 1e9 })
const fraction = number({ min: 0, max: 1 })
const floor = withDefault(fraction, learningRateDefaults.floor)
const warmUp = withDefault(integer({ min: 0, max: 1e9 }), learningRateDefaults.warmUp)
/** What a cycle multiplies the rate by. */
const factor = number({ min: 0, max: 1e6 })
const cycles = list(
  record(
    { length: integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) },
    { warmUp, start: withDefault(factor, 0), peak: withDefault(factor, 1), floor: withDefault(factor, 0) },
  ),
  { min: 1, max: 1000 },
)

export const learningRate = tagged('kind', {
  constant: record({ rate }),
  'warm-up': record({ rate, warmUp: count }),
  /** Down to `floor` times the rate at the last step. */
  'warm-up-cosine': record({ rate, warmUp: count }, { floor }),
  cosine: record({ rate }, { floor }),
  'cosine-restarts': record(
    { rate, period: count },
    { growth: withDefault(number({ min: 1, max: 1000 }), learningRateDefaults.growth), floor, warmUp },
  ),
  polynomial: record(
    { rate },
    { power: withDefault(number({ min: 1e-3, max: 1000 }), learningRateDefaults.power), floor, warmUp },
  ),
  /** `rate` is the highest. */
  'one-cycle': record(
    { rate },
    {
      rise: withDefault(fraction, oneCycleDefaults.rise),
      start: withDefault(fraction, oneCycleDefaults.start),
      floor: withDefault(fraction, oneCycleDefaults.floor),
      anneal: withDefault(word(anneals), oneCycleDefaults.anneal),
      threePhase: withDefault(flag, oneCycleDefaults.threePhase),
    },
  ),
  /** The reference's `LambdaWarmUpCosineScheduler`s and `LambdaLinearScheduler`. */
  'cosine-cycles': record({ rate, cycles }),
  'linear-cycles': record({ rate, cycles }),
})
export type DeclaredRate = Decoded<typeof learningRate>

/** A declared rate over a training of so many steps, whose end is its own where it has none. */
export const rateOver = (declared: DeclaredRate, steps: number): LearningRate =>
  declared.kind === 'warm-up-cosine' ||
  declared.kind === 'cosine' ||
  declared.kind === 'polynomial' ||
  declared.kind === 'one-cycle'
    ? { ...declared, length: steps }
    : declared
