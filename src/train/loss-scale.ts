import {
  add,
  at,
  buffer,
  div,
  leafName,
  less,
  maximum,
  minimum,
  mul,
  select,
  squaredNorm,
  type Tensor,
  topological,
} from '../declare/index.ts'
import type { Tensors } from '../optimizers/index.ts'
import { pipe, RR } from '../prelude.ts'

/**
 * Dynamic loss scaling, so that gradients do not vanish below what half precision has (Micikevicius et al. 2018, "Mixed Precision
 * Training", section 3.2; the schedule is that of PyTorch's GradScaler): the loss is multiplied before its gradients are taken, these are
 * divided again in float32. A step whose gradients are not finite changes nothing but the factor, which is halved; after
 * `growthInterval` steps without one it is doubled.
 */
export interface LossScale {
  /** The factor: what is computed of it stays where it is. */
  readonly leaves: readonly string[]
  readonly scaled: (loss: Tensor) => Tensor
  readonly unscaled: (gradients: readonly Tensor[]) => readonly Tensor[]
  /** What each leaf of the state becomes, told what the update makes of it, and the factor beside. */
  readonly unlessBroken: (
    state: Tensors,
    gradients: readonly Tensor[],
  ) => { readonly state: Tensors; readonly log: Tensors }
}

export const noLossScale: LossScale = {
  leaves: [],
  scaled: (loss) => loss,
  unscaled: (gradients) => gradients,
  unlessBroken: (state) => ({ state, log: {} }),
}

const growthInterval = 2000
const [first, least, most] = [2 ** 16, 1, 2 ** 24]
/** Of a sum of squares; what is not finite is not below. */
const finite = 3e38

export const dynamicLossScale = (): LossScale => {
  const scope = 'optimizer'
  const scale = buffer(scope, 'loss_scale', [], { kind: 'constant', value: first })
  const unbroken = buffer(scope, 'unbroken_steps', [], { kind: 'zeros' })
  return {
    leaves: [at(scope, 'loss_scale')],
    scaled: mul(scale),
    unscaled: (gradients) => gradients.map(div(scale)),
    unlessBroken: (state, gradients) => {
      const whole = pipe(
        gradients.map(squaredNorm).reduce((sum, x) => pipe(sum, add(x))),
        less(finite),
      )
      const leaves = new Map(topological(Object.values(state)).map((x) => [leafName(x), x]))
      const count = pipe(unbroken, add(1))
      const grows = pipe(count, less(growthInterval))
      const larger = pipe(grows, select(scale, pipe(scale, mul(2), minimum(most))))
      const smaller = pipe(scale, mul(0.5), maximum(least))
      const zero = pipe(unbroken, mul(0))
      return {
        state: {
          ...pipe(
            state,
            RR.mapWithIndex((name, x: Tensor) => pipe(whole, select(x, leaves.get(name) ?? x))),
          ),
          [at(scope, 'loss_scale')]: pipe(whole, select(larger, smaller)),
          [at(scope, 'unbroken_steps')]: pipe(whole, select(pipe(grows, select(count, zero)), zero)),
        },
        log: { loss_scale: scale },
      }
    },
  }
}
