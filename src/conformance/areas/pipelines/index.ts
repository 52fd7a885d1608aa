import type { Effect } from '../../../error.ts'
import type { Executor, Values } from '../../../execute/executor.ts'
import type { StoredArrays } from '../../../io/stored.ts'
import { pipe, TE } from '../../../prelude.ts'
import type { Area } from '../../plan.ts'
import { skip } from '../../plan.ts'
import { expectedOf, type PipelineCase, readPipelineCase } from './case.ts'
import { compVisRuns } from './compvis.ts'
import { diffusersRuns, expectedOfAll } from './diffusers.ts'
import { firstStageExpectations, firstStageRuns, vaeRuns } from './first-stages.ts'
import { weightExpectations, weightRuns } from './prompt-weights.ts'
import { tokenizerCase } from './tokenizers.ts'

/** Whole pipelines, from files as people have them to pictures. */

interface Kind {
  readonly runs: (c: PipelineCase, executor: Executor) => Effect<Values>
  /** What is expected beside the case's tensors. */
  readonly expected?: (c: PipelineCase) => StoredArrays
}
const kinds: Readonly<Record<string, Kind>> = {
  compvis: { runs: compVisRuns },
  'compvis-first-stage': { runs: firstStageRuns, expected: firstStageExpectations },
  diffusers: { runs: diffusersRuns, expected: expectedOfAll },
  'prompt-weights': { runs: weightRuns, expected: weightExpectations },
  vae: { runs: vaeRuns },
}

export const pipelinesArea: Area = (file) =>
  file.file.startsWith('tokenizers/') ? tokenizerCase(file) : wholeCase(file)

const wholeCase: Area = (file) =>
  pipe(
    readPipelineCase(file),
    TE.map((c) => {
      const kind = Object.hasOwn(kinds, c.kind) ? kinds[c.kind] : undefined
      return {
        plan:
          kind === undefined
            ? skip(`no adapter for kind ${c.kind}`)
            : { kind: 'effect' as const, run: (executor: Executor) => kind.runs(c, executor) },
        subject: c.kind,
        expected: { ...expectedOf(c), ...kind?.expected?.(c) },
        tolerances: c.tolerances,
      }
    }),
  )
