import { add, concat, type Tensor } from '../declare/index.ts'
import { pipe, RA, RNEA } from '../prelude.ts'
import type { Layer } from './layers.ts'

/** The layers of a U: each on the way up sees what its mate on the way down has said. */
export interface SkipConnected {
  readonly down: readonly Layer[]
  readonly middle: Layer
  /** As many as `down`. */
  readonly up: readonly Layer[]
}
/** What another network adds: to what each stage of the way down hands over to the way up, and to the middle's result. */
export interface Residuals {
  readonly down: readonly Tensor[]
  readonly middle: Tensor
}
const added = (x: Tensor, residual: Tensor | undefined): Tensor => (residual === undefined ? x : pipe(x, add(residual)))

/** The U shape: each stage of the way up also sees, on further channels, what its counterpart on the way down gave. */
export const skipConnected =
  ({ down, middle, up }: SkipConnected, residuals?: Residuals): Layer =>
  (x) => {
    const stages = pipe(
      down,
      RA.scanLeft(x, (h: Tensor, stage: Layer) => stage(h)),
    )
    const skips = stages.slice(1).map((h, i) => added(h, residuals?.down[i]))
    return RA.zip(up, skips.toReversed()).reduce(
      (h, [stage, skip]) => stage(concat(1, h, skip)),
      added(middle(RNEA.last(stages)), residuals?.middle),
    )
  }
