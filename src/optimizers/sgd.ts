import { add, mul, sub, type Tensor } from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { flat, type Optimizer, shaped, slot } from './optimizer.ts'

/** torch's. */
export const sgdDefaults = { momentum: 0, weightDecay: 0 } as const

/** Options of SGD. */
export interface SgdOptions {
  /** Default 0. */
  readonly momentum?: number
  /** An L2 penalty in the gradient; default 0. */
  readonly weightDecay?: number
}

/** `torch.optim.SGD`: buffer' = momentum buffer + g, p' = p - rate buffer'. */
export const sgd = ({
  momentum = sgdDefaults.momentum,
  weightDecay = sgdDefaults.weightDecay,
}: SgdOptions = {}): Optimizer<'momentum', 'rate'> => ({
  scalars: ['rate'],
  at: ({ rate }) => ({ rate }),
  init: (scope, parameters) => ({ momentum: slot(scope, 'momentum', parameters) }),
  update: ({ parameters, gradients, state, scalars }) => {
    const buffers = pipe(
      parameters,
      RR.mapWithIndex((k, p: Tensor) => {
        const g = flat(gradients[k])
        const penalised = weightDecay === 0 ? g : pipe(flat(p), mul(weightDecay), add(g))
        return pipe(flat(state.momentum[k]), mul(momentum), add(penalised))
      }),
    )
    return {
      parameters: pipe(
        parameters,
        RR.mapWithIndex((k, p: Tensor) => pipe(flat(p), sub(pipe(buffers[k], mul(scalars.rate))), shaped(p.shape))),
      ),
      state: {
        momentum: pipe(
          parameters,
          RR.mapWithIndex((k, p: Tensor) => pipe(buffers[k], shaped(p.shape))),
        ),
      },
    }
  },
})
