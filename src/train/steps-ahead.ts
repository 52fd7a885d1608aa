import { type Effect, effect } from '../error.ts'
import { fedAhead } from '../execute/carry.ts'
import type { Stepper, Values } from '../execute/executor.ts'
import { pipe, TE } from '../prelude.ts'
import type { StepPlan } from './step.ts'

/** What a part of a step is fed beside the scalars of the plan. */
export type Feeds = (step: number, part: number) => Effect<Values>

/**
 * Steps of all their parts: what a part is fed is made, and brought to the device, while the part before it runs. The outputs are those of the
 * last part, which are of the whole step.
 */
export const stepsAhead = (
  { parts, hostFeeds }: Pick<StepPlan, 'parts' | 'hostFeeds'>,
  stepper: Stepper,
  feeds: Feeds,
): ((step: number) => Effect<Values>) => {
  const ahead = fedAhead(stepper)
  const fed = (step: number, part: number) => ({ step, part, ready: pipe(feeds(step, part), TE.chain(ahead))() })
  let coming: ReturnType<typeof fed> | undefined
  return (step) =>
    effect(async (run) => {
      let outputs: Values = {}
      for (let part = 0; part < parts; part++) {
        const own = coming?.step === step && coming.part === part ? coming : fed(step, part)
        const stepping = (await run(() => own.ready))(hostFeeds(step, part))()
        coming = part + 1 < parts ? fed(step, part + 1) : fed(step + 1, 0)
        outputs = await run(() => stepping)
      }
      return outputs
    })
}
