import {
  anneals,
  type LearningRate,
  learningRateDefaults,
  oneCycleDefaults,
  type RateOver,
} from '../schedulers/learning-rate.ts'
import {
  about,
  type Decoded,
  describedRecord,
  describedTagged,
  flag,
  integer,
  list,
  number,
  withDefault,
  word,
} from '../schema.ts'

/** How the learning rate of a training is declared: rows of `schedulers/learning-rate.ts`, as long as the training. */

const rate = about(
  'The learning rate that factors multiply: with Adam about how far a weight moves in a step. 1e-3 suits small networks, 1e-4 large ones.',
  number({ min: 1e-12, max: 100 }),
  1e-3,
)
const count = integer({ min: 1, max: 1e9 })
const fraction = number({ min: 0, max: 1 })
const floor = about(
  'What the rate ends at, as a share of it; 0 falls to nothing.',
  withDefault(fraction, learningRateDefaults.floor),
)
const rising = 'Steps of the linear rise from 0 to the rate, while moments of the optimiser are still guesses.'
const risen = about(rising, count, 100)
const warmUp = about(rising, withDefault(integer({ min: 0, max: 1e9 }), learningRateDefaults.warmUp), 100)
const factor = number({ min: 0, max: 1e6 })
const cycles = about(
  'Cycles that follow each other; after the last the rate stays where it ended.',
  list(
    describedRecord(
      {
        length: about(
          'Steps of the cycle, its warm-up among them.',
          integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
          1000,
        ),
      },
      {
        warmUp: about(
          'Steps of the linear rise from start to peak; fewer than length.',
          withDefault(integer({ min: 0, max: 1e9 }), learningRateDefaults.warmUp),
          100,
        ),
        start: about('What the rate is multiplied by at the first step.', withDefault(factor, 0)),
        peak: about('What the rate is multiplied by after the warm-up.', withDefault(factor, 1)),
        floor: about('What the rate is multiplied by at the end.', withDefault(factor, 0)),
      },
    ),
    { min: 1, max: 1000 },
  ),
)

export const learningRate = describedTagged('kind', {
  constant: about('The same at every step.', describedRecord({ rate })),
  'warm-up': about('From 0 up to the rate, then constant.', describedRecord({ rate, warmUp: risen })),
  'warm-up-cosine': about(
    'From 0 up to the rate, then down half a cosine to its floor at the last step: a good first choice.',
    describedRecord({ rate, warmUp: risen }, { floor }),
  ),
  cosine: about(
    "Down half a cosine from the first step to the last: torch's CosineAnnealingLR.",
    describedRecord({ rate }, { floor }),
  ),
  'cosine-restarts': about(
    "Half a cosine again and again (SGDR, Loshchilov and Hutter 2017): torch's CosineAnnealingWarmRestarts, behind a linear rise.",
    describedRecord(
      { rate, period: about('Steps of the first cosine.', count, 500) },
      {
        growth: about(
          'How many times as long each cosine is as the one before; 1 for alike.',
          withDefault(number({ min: 1, max: 1000 }), learningRateDefaults.growth),
        ),
        floor,
        warmUp,
      },
    ),
  ),
  polynomial: about(
    "Down a power of the share of steps that are left: torch's PolynomialLR, behind a linear rise.",
    describedRecord(
      { rate },
      {
        power: about(
          'The power; 1 is a straight line, more falls early.',
          withDefault(number({ min: 1e-3, max: 1000 }), learningRateDefaults.power),
        ),
        floor,
        warmUp,
      },
    ),
  ),
  'one-cycle': about(
    "Up to the rate, its highest, and down again (Smith and Topin 2018): torch's OneCycleLR.",
    describedRecord(
      { rate },
      {
        rise: about('Share of the steps that rise.', withDefault(fraction, oneCycleDefaults.rise)),
        start: about(
          'What the rate is multiplied by at the first step.',
          withDefault(fraction, oneCycleDefaults.start),
        ),
        floor: about('What the rate is multiplied by at the last step.', withDefault(fraction, oneCycleDefaults.floor)),
        anneal: about('The curve of rise and fall.', withDefault(word(anneals), oneCycleDefaults.anneal)),
        threePhase: about(
          'Whether it falls to its start as fast as it rose, and only then to its floor.',
          withDefault(flag, oneCycleDefaults.threePhase),
        ),
      },
    ),
  ),
  'cosine-cycles': about(
    "Cycles that fall by half a cosine: the reference's LambdaWarmUpCosineScheduler and LambdaWarmUpCosineScheduler2.",
    describedRecord({ rate, cycles }),
  ),
  'linear-cycles': about(
    "Cycles that fall in a straight line: the reference's LambdaLinearScheduler.",
    describedRecord({ rate, cycles }),
  ),
})
export type DeclaredRate = Decoded<typeof learningRate>

/** A declared rate over a training of so many steps, whose end is its own where it has none. */
export const rateOver = (declared: RateOver, steps: number): LearningRate =>
  declared.kind === 'warm-up-cosine' ||
  declared.kind === 'cosine' ||
  declared.kind === 'polynomial' ||
  declared.kind === 'one-cycle'
    ? { ...declared, length: steps }
    : declared
