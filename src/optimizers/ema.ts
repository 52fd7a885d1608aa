import { mul, type Scope, sub, type Tensor } from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { flat, type State, shaped, slot, type Tensors } from './optimizer.ts'

/** Options of the moving average. */
export interface EmaOptions {
  /** Default 0.9999. */
  readonly decay?: number
  /** Smaller decays at first, (1 + n) / (10 + n); default true. */
  readonly warmUp?: boolean
}

/** An average of parameters over steps; `H` as in `Optimizer`. */
export interface Ema {
  readonly scalars: readonly ['forget']
  /** The fed scalars of update n = 1, 2, ...: 1 - decay. */
  readonly at: (update: number) => { readonly forget: number }
  /**
   * The shadow's leaves, named `<scope>.shadow.<parameter>`. They begin as copies of the parameters: whoever holds the arrays
   * copies them.
   */
  readonly init: <K extends string>(scope: Scope, parameters: Tensors<K>) => State<'shadow', K>
  readonly update: <K extends string>(from: {
    readonly parameters: Tensors<K>
    readonly state: State<'shadow', NoInfer<K>>
    readonly scalars: Tensors<'forget'>
  }) => State<'shadow', K>
}

/** The decay at update n = 1, 2, ... */
export const emaDecay = ({ decay = 0.9999, warmUp = true }: EmaOptions, n: number): number =>
  warmUp ? Math.min(decay, (1 + n) / (10 + n)) : decay

/** shadow' = shadow - forget (shadow - p), forget by update. */
export const averageBy = (forget: (update: number) => number): Ema => ({
  scalars: ['forget'],
  at: (update) => ({ forget: forget(update) }),
  init: (scope, parameters) => ({ shadow: slot(scope, 'shadow', parameters) }),
  update: ({ parameters, state, scalars }) => ({
    shadow: pipe(
      parameters,
      RR.mapWithIndex((k, p: Tensor) => {
        const shadow = flat(state.shadow[k])
        return pipe(shadow, sub(pipe(shadow, sub(flat(p)), mul(scalars.forget))), shaped(p.shape))
      }),
    ),
  }),
})

/**
 * shadow' = shadow - (1 - decay)(shadow - p): `LitEma` in CompVis latent-diffusion, `ldm/modules/ema.py`, whose count rises
 * before the decay is taken.
 */
export const ema = (options: EmaOptions = {}): Ema => averageBy((update) => 1 - emaDecay(options, update))
