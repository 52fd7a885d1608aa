import { add, stopGradient, sub, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'

/** The value of `to`; its gradient passes to `from` as it is (Bengio et al. 2013, section 3). */
export const straightThrough =
  (to: Tensor) =>
  (from: Tensor): Tensor =>
    pipe(from, add(pipe(to, sub(from), stopGradient)))
