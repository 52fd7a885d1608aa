import { type Checked, fail } from '../error.ts'
import type { Value } from '../execute/executor.ts'
import { E, pipe } from '../prelude.ts'
import type { PipelineDocument } from './document.ts'
import { readScheduler } from './read-diffusers.ts'
import { stacked } from './request.ts'

/** Another scheduler than a model's own, with what the model's configuration says of all (`from_config`). */

export interface SchedulerOverride {
  readonly name: string
  readonly options: Readonly<Record<string, unknown>>
}

/** Errors: `config`; `usage`, a model that is not sampled by a scheduler. */
export const withScheduler = (
  document: PipelineDocument,
  { name, options }: SchedulerOverride,
): Checked<PipelineDocument> => {
  const { sampling } = document
  return sampling.by !== 'diffusers'
    ? fail('usage', '--sampler', "ddim | plms, as the model is CompVis' own", name)
    : pipe(
        readScheduler({ ...sampling.config, ...options, _class_name: name }, 'scheduler'),
        E.map((own) => ({ ...document, sampling: own })),
      )
}

/** What was seen of each branch, under each other. */
export const joinedOf = (parts: readonly Value[]): Value | undefined =>
  parts.length === 0 ? undefined : stacked(parts)
