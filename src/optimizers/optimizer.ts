import { at, buffer, input, reshape, type Scope, type Tensor } from '../declare/index.ts'
import { float, type Shape, size } from '../graph/types.ts'
import { pipe, RR } from '../prelude.ts'

/** Tensors by the names of the parameters they belong to. */
export type Tensors<K extends string = string> = Readonly<Record<K, Tensor>>

/** What an optimiser remembers: for each slot a tensor of every parameter, in its shape. */
export type State<S extends string = string, K extends string = string> = Readonly<Record<S, Tensors<K>>>

/**
 * An optimiser as two pure functions inside the step graph. `S` names its slots, `H` the scalars that the training loop
 * feeds at each step; a host computes these in float64, so that no power of a beta is ever taken in float32.
 */
export interface Optimizer<S extends string = string, H extends string = string> {
  readonly scalars: readonly H[]
  /** The fed scalars of step 1, 2, ... at a learning rate. */
  readonly at: (moment: { readonly step: number; readonly rate: number }) => Readonly<Record<H, number>>
  /** State leaves, all zeros, named `<scope>.<slot>.<parameter>`. */
  readonly init: <K extends string>(scope: Scope, parameters: Tensors<K>) => State<S, K>
  readonly update: <K extends string>(from: {
    readonly parameters: Tensors<K>
    readonly gradients: Tensors<NoInfer<K>>
    readonly state: State<S, NoInfer<K>>
    readonly scalars: Tensors<H>
  }) => { readonly parameters: Tensors<K>; readonly state: State<S, K> }
}

/** What changes the state that the optimisers leave, last of all in a step, and adds to it. */
export interface Amendment {
  /** Of its fed scalars. */
  readonly scope: Scope
  readonly scalars: readonly string[]
  /** The fed scalars of step 1, 2, ... */
  readonly at: (step: number) => Readonly<Record<string, number>>
  /** Only what is other than in `left`, under the names of the leaves, and what is reported. */
  readonly amend: (left: Tensors, scalars: Tensors) => { readonly state: Tensors; readonly log: Tensors }
}

/** The fed scalars as leaves, named `<scope>.<scalar>`. */
export const scalarInputs = <H extends string>(scope: Scope, names: readonly H[]): Tensors<H> =>
  recordOf(names, (name) => input(at(scope, name), float()))

/** Zeros beside every parameter. */
export const slot = <K extends string>(scope: Scope, name: string, parameters: Tensors<K>): Tensors<K> =>
  pipe(
    parameters,
    RR.mapWithIndex((k: K, p: Tensor) => buffer(at(scope, name), k, p.shape, { kind: 'zeros' })),
  )

/**
 * A state under the names of its leaves: as outputs of the step graph they are carried by the identity.
 */
export const stateOutputs = (scope: Scope, state: State): Tensors =>
  Object.fromEntries(
    Object.entries(state).flatMap(([name, tensors]) =>
      Object.entries(tensors).map(([k, x]) => [at(at(scope, name), k), x] as const),
    ),
  )

/** Elementwise arithmetic with scalars is fastest on one axis (see ONNX Runtime's broadcasting). */
export const flat = (x: Tensor): Tensor => pipe(x, reshape(size(x.shape)))
/** The shape back, of what `flat` made one row. */
export const shaped = (shape: Shape): ((x: Tensor) => Tensor) => reshape(...shape)

const recordOf = <K extends string, A>(keys: readonly K[], of: (k: K) => A): Readonly<Record<K, A>> =>
  RR.fromEntries(keys.map((k): [K, A] => [k, of(k)]))
