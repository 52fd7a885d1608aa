import type { Effect } from '../../../error.ts'
import type { Executor, Values } from '../../../execute/executor.ts'
import { pipe, TE } from '../../../prelude.ts'
import type { Area } from '../../plan.ts'
import { skip } from '../../plan.ts'
import { expectedOf, type PipelineCase, readPipelineCase } from './case.ts'
import { compVisRuns } from './compvis.ts'
import { diffusersRuns, expectedOfAll } from './diffusers.ts'

/** Whole pipelines, from files as people have them to pictures. */

const kinds: Readonly<Record<string, (c: PipelineCase, executor: Executor) => Effect<Values>>> = {
  compvis: compVisRuns,
  diffusers: diffusersRuns,
}

export const pipelinesArea: Area = (file) =>
  pipe(
    readPipelineCase(file),
    TE.map((c) => {
      const found = Object.hasOwn(kinds, c.kind) ? kinds[c.kind] : undefined
      return {
        plan:
          found === undefined
            ? skip(`no adapter for kind ${c.kind}`)
            : { kind: 'effect' as const, run: (executor: Executor) => found(c, executor) },
        subject: c.kind,
        expected: c.kind === 'diffusers' ? expectedOfAll(c) : expectedOf(c),
        tolerances: c.tolerances,
      }
    }),
  )
