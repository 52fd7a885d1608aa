import { type Effect, effect, failure } from '../error.ts'
import type { Executable, Stepper, Values } from '../execute/executor.ts'
import { loadCheckpoint } from '../io/checkpoint.ts'
import { TE } from '../prelude.ts'
import type { StageName } from './events.ts'
import { digest } from './opening.ts'
import type { Follower, Order } from './ranks.ts'
import { loadedState } from './state.ts'
import type { StepPlan } from './step.ts'
import { type Feeds, stepsAhead } from './steps-ahead.ts'
import { stopped } from './stop.ts'

/** A stage whose steps another process leads. */
export interface Following {
  readonly name: StageName
  readonly plan: StepPlan
  readonly compile: Effect<Executable>
  readonly initial: Effect<Values>
  readonly frozen: Values
  readonly feeds: Feeds
}

/** Where a stage ends: with a state, or that of a checkpoint. */
type Ending = { readonly checkpoint: string }

/** Takes the steps of a stage that rank 0 says it takes; returns the state that its stage ends with. Errors: `stopped`; `run`, a rank has gone. */
export const follow = (
  { name, plan, compile, initial, frozen, feeds }: Following,
  { hear, same, together }: Follower,
): Effect<Values> =>
  effect(async (run) => {
    const own: {
      executable?: Executable
      stepper?: Stepper
      take?: ReturnType<typeof stepsAhead>
    } = {}
    const stored = (path: string): Effect<Values> =>
      effect(async (go) => {
        const { groups } = await go(loadCheckpoint(path))
        return go(TE.fromEither(loadedState(path, groups, plan.leaves)))
      })
    const start = async ({ checkpoint }: Extract<Order, { kind: 'start' }>): Promise<undefined> => {
      own.stepper?.dispose()
      const executable = own.executable ?? (await run(compile))
      own.executable = executable
      const state = await run(checkpoint === undefined ? initial : stored(checkpoint))
      await run(same(`the state of ${name}`, digest(state) ?? ''))
      await run(together)
      own.stepper = await run(executable.start(plan.carry, { ...frozen, ...plan.passing, ...state }))
      own.take = stepsAhead(plan, own.stepper, feeds)
    }
    const take = async (step: number): Promise<undefined> => {
      if (own.take === undefined) throw new Error(`step ${step} before a start`)
      await run(own.take(step))
    }
    const obey: {
      readonly [K in Order['kind']]: (order: Extract<Order, { readonly kind: K }>) => Promise<Ending | undefined>
    } = {
      start,
      step: ({ step }) => take(step),
      'stage-done': async ({ checkpoint }) => ({ checkpoint }),
      encoded: async () => run(TE.left([failure('run', name, 'steps', 'latents')])),
      over: async () => run(TE.left([stopped()])),
    }
    const obeyed = <K extends Order['kind']>(kind: K, order: Extract<Order, { readonly kind: K }>) => obey[kind](order)
    try {
      for (;;) {
        const order = await run(hear)
        const ending = await obeyed(order.kind, order)
        if (ending !== undefined) return await run(stored(ending.checkpoint))
      }
    } finally {
      own.stepper?.dispose()
      own.executable?.dispose()
    }
  })
