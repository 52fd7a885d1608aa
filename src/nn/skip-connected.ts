import { concat, type Tensor } from '../declare/index.ts'
import { pipe, RA, RNEA } from '../prelude.ts'
import type { Layer } from './layers.ts'

export interface SkipConnected {
  readonly down: readonly Layer[]
  readonly middle: Layer
  /** As many as `down`. */
  readonly up: readonly Layer[]
}
/** The U shape: each stage of the way up also sees, on further channels, what its counterpart on the way down gave. */
export const skipConnected =
  ({ down, middle, up }: SkipConnected): Layer =>
  (x) => {
    const stages = pipe(
      down,
      RA.scanLeft(x, (h: Tensor, stage: Layer) => stage(h)),
    )
    return RA.zip(up, stages.toReversed()).reduce(
      (h, [stage, skip]) => stage(concat(1, h, skip)),
      middle(RNEA.last(stages)),
    )
  }
