import type { Dataset } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import { auto } from '../execute/auto.ts'
import { unconditional } from '../experiment/conditioning.ts'
import { heldOutRule } from '../experiment/data-rules.ts'
import type { Experiment } from '../experiment/document.ts'
import type { Own } from '../experiment/own.ts'
import { refusing } from '../experiment/problems.ts'
import { TE } from '../prelude.ts'
import { budgetRule } from './budget.ts'
import { dataLines, findData, type Parted, parted } from './data.ts'
import { precisionNotes, precisionRule } from './in-precision.ts'
import { knownRules } from './known.ts'
import { memoryHere, memoryLine, memoryOf, memoryRule } from './memory.ts'
import { type Plan, planDrawing, planExperiment } from './plan.ts'
import { captionNotes, captionRules } from './texts.ts'

/** Everything that is known of a run before its first step. */
export interface Prepared {
  readonly plan: Plan
  readonly dataset: Dataset
  readonly data: Parted
  /** What a person should know of the pictures and of the memory. */
  readonly lines: readonly string[]
}

/**
 * Finds an experiment's pictures, plans its graphs, reckons the memory, and only then decodes the pictures. Errors: `config`, `shape`,
 * `data`, `file`: whatever would keep the run from its end.
 */
export const prepare = (e: Experiment, executor: string = e.executor, own: Own = {}): Effect<Prepared> =>
  effect(async (run) => {
    const found = await run(findData(e, own))
    await run(
      TE.fromEither(refusing([...heldOutRule(e, found.n), ...budgetRule(e, executor), ...precisionRule(e, executor)])),
    )
    const plan = await run(TE.fromEither(planExperiment(e, found.classes.length, own)))
    await run(TE.fromEither(planDrawing(e, plan)))
    const [memory, here] = [memoryOf(e, found, plan), memoryHere()]
    const chosen = memoryRule(memory, here, 'onnx').length > 0 && executor === 'auto' ? await run(auto) : undefined
    await run(TE.fromEither(refusing(memoryRule(memory, here, chosen?.executor.name ?? executor))))
    const dataset = await run(found.load)
    const conditioner = plan.diffusion?.model.conditioner ?? unconditional
    await run(TE.fromEither(refusing(captionRules(conditioner, dataset))))
    await run(TE.fromEither(refusing(knownRules(conditioner, dataset))))
    const data = await run(TE.fromEither(parted(e, dataset)))
    const notes = captionNotes(conditioner, data.train).map((note) => `data: ${note}`)
    return {
      plan,
      dataset,
      data,
      lines: [...dataLines(data), ...notes, memoryLine(memory, here), ...(await run(precisionNotes(e, executor)))],
    }
  })
