import { type Effect, effect, fail } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import { type Explained, explainText } from '../execute/explain.ts'
import { TE } from '../prelude.ts'
import type { Program } from '../train/programs.ts'

/** What an executor makes of programs, by their names. */
export type Plans = Readonly<Record<string, readonly Explained[]>>

/** Errors: `usage`, of an executor that plans nothing; `compile`. */
export const plansOf = (executor: Executor, programs: readonly Program[]): Effect<Plans> =>
  effect(async (run) => {
    const { explain } = executor
    if (explain === undefined)
      return run(
        TE.fromEither(
          fail(
            'usage',
            '--explain',
            'an executor that plans what it computes',
            `${executor.name}, which computes node by node`,
            '--executor onnx:cpu',
          ),
        ),
      )
    const plans: Record<string, readonly Explained[]> = {}
    for (const { name, graph, options } of programs) plans[name] = await run(explain(graph, options))
    return plans
  })

const runs = (n: number): string => `${n.toLocaleString('en-US')} calls`
export const plansText = (executor: string, plans: Plans): string =>
  Object.entries(plans)
    .map(([name, rows]) => `${name} on ${executor}, as expected: ${runs(rows.length)}\n\n${explainText(rows)}\n`)
    .join('\n')
