import type { Checked } from '../../error.ts'
import type { Value } from '../../execute/executor.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { learningRateFromCompVis } from '../../schedulers/compvis.ts'
import { type LearningRate, learningRate } from '../../schedulers/learning-rate.ts'
import { anything, decode, integer, list, number, record, text } from '../../schema.ts'
import { adapter, type Plan } from '../plan.ts'
import { column } from './schedule.ts'

const numbers = list(number())
const verbosity = { verbosity_interval: integer() }

/** Arguments of the classes of `ldm/lr_scheduler.py`: lists for those with cycles, numbers for the one without. */
const cycles = record(
  { warm_up_steps: numbers, f_min: numbers, f_max: numbers, f_start: numbers, cycle_lengths: numbers },
  {},
  verbosity,
)
const single = record(
  { warm_up_steps: number(), lr_min: number(), lr_max: number(), lr_start: number(), max_decay_steps: number() },
  {},
  verbosity,
)

/** A class of the reference with its arguments, as a schedule of a base rate. */
export const rateOf = (className: string, args: unknown, rate: number, base: string): Checked<LearningRate> =>
  className === 'LambdaWarmUpCosineScheduler'
    ? pipe(
        args,
        decode(single, { base }),
        E.flatMap((known) => learningRateFromCompVis(className, known, rate)),
      )
    : pipe(
        args,
        decode(cycles, { base }),
        E.flatMap((known) => learningRateFromCompVis(className, known, rate)),
      )

const rateCase = record({ cls: text, args: anything, n: numbers, value: numbers })

/** `lr_schedulers.json`: multipliers at steps, compared with `value`. */
export const rates = adapter(
  record({ cases: list(rateCase) }),
  ({ cases }, c): Checked<Plan> =>
    pipe(
      cases,
      E.traverseArray(({ cls, args, n }) =>
        pipe(
          rateOf(cls, args, 1, c.file.path),
          E.map((schedule) => column(n.map((step) => learningRate(schedule, step)))),
        ),
      ),
      E.map((computed): Plan => {
        const named = <A>(all: readonly A[]): Readonly<Record<string, A>> =>
          Object.fromEntries(all.map((x, i) => [`out.${i}.${cases[i]?.cls}`, x]))
        const expected = cases.map(({ value }) => ({
          dtype: 'float64' as const,
          shape: [value.length],
          data: Float64Array.from(value),
        }))
        return { kind: 'effect', run: () => TE.right(named<Value>(computed)), expected: named(expected) }
      }),
    ),
)
