import type { Graph } from '../graph/graph.ts'
import { pipe } from '../prelude.ts'
import { fold } from './fold.ts'
import { shareHalves } from './halves.ts'
import { pullScalars, share } from './share.ts'

export { checkpoint } from './checkpoint.ts'
export { fold } from './fold.ts'
export { grad, trainable, vjp } from './grad.ts'
export { shareHalves } from './halves.ts'
export { type Intent, lint } from './lint.ts'
export { mergeGradients } from './merge.ts'
export { convolveByPhases, type Enlarged } from './phases.ts'
export { precision } from './precision.ts'
export { prune, withOutputs } from './prune.ts'
export { pullScalars, share } from './share.ts'
export { simulate } from './simulate.ts'
export { substitution } from './substitute.ts'

/** Everything an executor should be given: folded, scalars but those of `staying` pulled out of cotangents, shared, equal halves once. */
export const optimise = (g: Graph, staying: readonly string[] = []): Graph =>
  pipe(g, fold, share, (shared) => pullScalars(shared, staying), share, fold, share, shareHalves)
