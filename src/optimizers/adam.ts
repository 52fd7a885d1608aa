import { add, div, mul, sqrt, square, sub, type Tensor } from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { flat, type Optimizer, shaped, slot, type Tensors } from './optimizer.ts'

/** torch's. */
export const adamDefaults = { betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 } as const
/** Those of PyTorch. */
export const adamWDefaults = { ...adamDefaults, weightDecay: 0.01 } as const

/** Options of Adam and AdamW. */
export interface AdamOptions {
  /** Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number]
  /** Default 1e-8; added after the root of the corrected second moment. */
  readonly eps?: number
  /** Adam: an L2 penalty in the gradient, default 0. AdamW: decoupled from it, default 0.01. */
  readonly weightDecay?: number
}

type Slots = 'm' | 'v'
type Betas = readonly [number, number]

/** One parameter's part of the step, flat. */
interface Row {
  readonly p: Tensor
  readonly g: Tensor
  readonly m: Tensor
  readonly v: Tensor
}

/**
 * With torch's moments m and v (Kingma and Ba 2015, algorithm 1), the state holds M = m / (1 - b1) and V = v / (1 - b2):
 *
 *     M' = b1 M + g,  V' = b2 V + g^2,  p' = p - rate M' / (sqrt(V') + eps)
 *
 * where, at step t with the learning rate a and r = sqrt((1 - b2^t) / (1 - b2)), rate = a r (1 - b1) / (1 - b1^t) and
 * eps = r eps'. Ten operations of full size.
 */
const advance = (
  [beta1, beta2]: Betas,
  { rate, eps }: Tensors<'rate' | 'eps'>,
  { p, g, m, v }: Row,
): Omit<Row, 'g'> => {
  const first = pipe(m, mul(beta1), add(g))
  const second = pipe(v, mul(beta2), add(square(g)))
  return { p: pipe(p, sub(pipe(first, div(pipe(second, sqrt, add(eps))), mul(rate)))), m: first, v: second }
}

const corrections = (
  [beta1, beta2]: Betas,
  eps: number,
  { step, rate }: { readonly step: number; readonly rate: number },
): { readonly rate: number; readonly eps: number } => {
  const root = Math.sqrt((1 - beta2 ** step) / (1 - beta2))
  return { rate: ((rate * (1 - beta1)) / (1 - beta1 ** step)) * root, eps: eps * root }
}

/** What the state's moments are multiplied by to be torch's `exp_avg` and `exp_avg_sq`. */
export const torchMoments = ([beta1, beta2]: Betas): Readonly<Record<Slots, number>> => ({
  m: 1 - beta1,
  v: 1 - beta2,
})

/** Both variants; `prepare` decays before the step. */
const adamWith = <H extends 'rate' | 'eps' | 'decay'>(
  betas: Betas,
  own: Pick<Optimizer<Slots, H | 'rate' | 'eps'>, 'scalars' | 'at'> & {
    readonly prepare: (row: Row, scalars: Tensors<H | 'rate' | 'eps'>) => Row
  },
): Optimizer<Slots, H | 'rate' | 'eps'> => ({
  scalars: own.scalars,
  at: own.at,
  init: (scope, parameters) => ({ m: slot(scope, 'm', parameters), v: slot(scope, 'v', parameters) }),
  update: ({ parameters, gradients, state, scalars }) => {
    const rows = pipe(
      parameters,
      RR.mapWithIndex((k, p: Tensor) => {
        const row = own.prepare(
          { p: flat(p), g: flat(gradients[k]), m: flat(state.m[k]), v: flat(state.v[k]) },
          scalars,
        )
        return pipe(advance(betas, scalars, row), RR.map(shaped(p.shape)))
      }),
    )
    const column = (name: 'p' | Slots) =>
      pipe(
        rows,
        RR.map((row) => row[name]),
      )
    return { parameters: column('p'), state: { m: column('m'), v: column('v') } }
  },
})

/** `torch.optim.Adam`: weight decay is an L2 penalty in the gradient. */
export const adam = (options: AdamOptions = {}): Optimizer<Slots, 'rate' | 'eps'> => {
  const { betas, eps, weightDecay } = { ...adamDefaults, ...options }
  return adamWith<'rate' | 'eps'>(betas, {
    scalars: ['rate', 'eps'],
    at: (moment) => corrections(betas, eps, moment),
    prepare: (row) => (weightDecay === 0 ? row : { ...row, g: pipe(row.p, mul(weightDecay), add(row.g)) }),
  })
}

/** `torch.optim.AdamW`: p shrinks by 1 - rate weightDecay before the step (Loshchilov and Hutter 2019). */
export const adamW = (options: AdamOptions = {}): Optimizer<Slots, 'rate' | 'eps' | 'decay'> => {
  const { betas, eps, weightDecay } = { ...adamWDefaults, ...options }
  return adamWith(betas, {
    scalars: ['rate', 'eps', 'decay'],
    at: (moment) => ({ ...corrections(betas, eps, moment), decay: 1 - moment.rate * weightDecay }),
    prepare: (row, { decay }) => ({ ...row, p: pipe(row.p, mul(decay)) }),
  })
}
