import type { Checked } from '../error.ts'
import { E, flow } from '../prelude.ts'
import { decode } from '../schema.ts'
import { crossChecks } from './cross-checks.ts'
import { type Experiment, experiment } from './document.ts'
import { latentScaleOf } from './space.ts'

/** With the default that depends on what diffusion is on. */
const filled = (e: Experiment): Experiment =>
  e.diffusion === undefined ? e : { ...e, diffusion: { ...e.diffusion, latentScale: latentScaleOf(e) } }

/** An experiment from the value of a JSON document. Errors: `config`, every one with its JSON pointer. */
export const decodeExperiment: (document: unknown) => Checked<Experiment> = flow(
  decode(experiment),
  E.map(filled),
  E.flatMap(crossChecks),
)
