import { type Effect, effect, fail } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import { bytesOfDescribed, type Described, type Explained, explainText } from '../execute/explain.ts'
import { halfHere } from '../execute/half-here.ts'
import { cost } from '../graph/cost.ts'
import { halves } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import type { Program } from '../train/programs.ts'
import { mebibytes } from './check-report.ts'

/** What an executor makes of programs, by their names: its own calls, or what a compiler says. */
export type Plans =
  | { readonly kind: 'calls'; readonly of: Readonly<Record<string, readonly Explained[]>> }
  | { readonly kind: 'compiled'; readonly of: Readonly<Record<string, Described>> }

const ofEach = <A>(
  programs: readonly Program[],
  tell: (p: Program) => Effect<A>,
): Effect<Readonly<Record<string, A>>> =>
  effect(async (run) => {
    const told: Record<string, A> = {}
    for (const program of programs) told[program.name] = await run(tell(program))
    return told
  })

/** Errors: `usage`, of an executor that plans nothing; `compile`. */
export const plansOf = ({ name, explain, describe }: Executor, programs: readonly Program[]): Effect<Plans> => {
  if (explain !== undefined)
    return pipe(
      ofEach(programs, ({ graph, options }) => explain(graph, options)),
      TE.map((of): Plans => ({ kind: 'calls', of })),
    )
  if (describe !== undefined)
    return pipe(
      ofEach(programs, ({ graph, options }) => describe(graph, options)),
      TE.map((of): Plans => ({ kind: 'compiled', of })),
    )
  return TE.fromEither(
    fail(
      'usage',
      '--explain',
      'an executor that plans what it computes',
      `${name}, which computes node by node`,
      '--executor onnx:cpu',
    ),
  )
}

/** How what is in half precision is computed, a line a dtype. */
export const halfText = (executor: string, programs: readonly Program[]): Effect<string> =>
  effect(async (run) => {
    const lines: string[] = []
    for (const dtype of halves) {
      if (!programs.some(({ graph }) => graph.nodes.some((n) => n.type.dtype === dtype))) continue
      const says = await run(halfHere(executor, dtype))
      if (says !== undefined) lines.push(`half precision on ${says}\n\n`)
    }
    return lines.join('')
  })

const runs = (n: number): string => `${n.toLocaleString('en-US')} calls`
const describedText = (executor: string, name: string, program: Program | undefined, told: Described): string => {
  const { memory, ops } = told
  const rows = Object.entries(ops).sort(([, a], [, b]) => b - a)
  const width = Math.max(...rows.map(([op]) => op.length))
  const ours = program === undefined ? '' : `; reckoned from shapes: ${mebibytes(cost(program.graph).peakBytes)}`
  return [
    `${name} on ${executor}: ${runs(rows.reduce((n, [, count]) => n + count, 0))}, ${mebibytes(bytesOfDescribed(told))} as compiled${ours}`,
    '',
    `  arguments    ${mebibytes(memory.arguments)}, of which ${mebibytes(memory.alias)} are given up for results`,
    `  results      ${mebibytes(memory.outputs)}`,
    `  temporary    ${mebibytes(memory.temporary)}`,
    '',
    ...rows.map(([op, count]) => `  ${op.padEnd(width)}  ${String(count).padStart(6)}`),
    '',
  ].join('\n')
}
export const plansText = (executor: string, plans: Plans, programs: readonly Program[]): string =>
  (plans.kind === 'calls'
    ? Object.entries(plans.of).map(
        ([name, rows]) => `${name} on ${executor}, as expected: ${runs(rows.length)}\n\n${explainText(rows)}\n`,
      )
    : Object.entries(plans.of).map(([name, told]) =>
        describedText(
          executor,
          name,
          programs.find((p) => p.name === name),
          told,
        ),
      )
  ).join('\n')
