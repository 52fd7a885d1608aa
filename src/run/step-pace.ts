import { type Effect, effect } from '../error.ts'
import { type Executor, emptyValue, floats, type Values } from '../execute/executor.ts'
import { feedTypes } from '../graph/graph.ts'
import { size } from '../graph/types.ts'
import { TE } from '../prelude.ts'
import type { StagePlan } from '../train/plan.ts'
import { noiseFeeds } from '../train/state.ts'
import { stopped } from '../train/stop.ts'

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

/** Steps that are measured behind the first, and seconds after which no more are. */
const [count, patience] = [5, 4] as const

/** What stands for pictures, or what was made of them: how long a step takes does not depend on it. */
const standIns = ({ step }: StagePlan): Values =>
  Object.fromEntries(
    Object.entries(feedTypes(step.graph)).map(([leaf, { dtype, shape }]) => [
      leaf,
      dtype === 'int32'
        ? emptyValue(dtype, shape, size(shape))
        : floats(
            shape,
            Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(i)),
          ),
    ]),
  )

/**
 * Seconds that a training step of a stage takes on an executor, of a few steps the median; without reading pictures, and without
 * writing anything. Errors: `compile`, `run`; `stopped`, where a stop is asked for.
 */
export const stepPace = (executor: Executor, stage: StagePlan, stopping: () => boolean): Effect<number> =>
  effect(async (run) => {
    const { step } = stage
    const executable = await run(executor.compile(step.graph, { mode: 'training' }))
    try {
      const carried = new Set([...Object.values(step.carry), ...Object.keys(step.leaves)])
      const given = Object.fromEntries(Object.entries(standIns(stage)).filter(([leaf]) => !carried.has(leaf)))
      const stepper = await run(executable.start(step.carry, { ...step.passing, ...step.initial(0) }))
      try {
        const seconds: number[] = []
        const begun = performance.now()
        for (let i = 0; i <= count && (i < 2 || performance.now() - begun < 1000 * patience); i++) {
          if (stopping()) await run(TE.left([stopped()]))
          const from = performance.now()
          for (let part = 0; part < step.parts; part++)
            await run(stepper.step({ ...given, ...noiseFeeds(step.graph, 0, i), ...step.hostFeeds(i, part) }))
          if (i > 0) seconds.push((performance.now() - from) / 1000)
        }
        return median(seconds)
      } finally {
        stepper.dispose()
      }
    } finally {
      executable.dispose()
    }
  })
