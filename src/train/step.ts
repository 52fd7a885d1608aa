import { at, freeze, leafName, type Tensor } from '../declare/index.ts'
import { type Checked, fail } from '../error.ts'
import { type Carry, floats, type Values } from '../execute/executor.ts'
import type { Training } from '../experiment/document.ts'
import { rateOver } from '../experiment/learning-rate.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import type { Attributes } from '../graph/ops.ts'
import type { TensorType } from '../graph/types.ts'
import type { Loss } from '../losses/index.ts'
import type { Buffers } from '../nn/stateful.ts'
import {
  type Amendment,
  adam,
  adamW,
  clipByGlobalNorm,
  type Ema,
  ema,
  type Optimizer,
  powerEma,
  scalarInputs,
  sgd,
  stateOutputs,
  type Tensors,
} from '../optimizers/index.ts'
import { E, pipe, RR } from '../prelude.ts'
import { learningRate, type RateOver } from '../schedulers/learning-rate.ts'
import { grad, type Intent, optimise, substitution, trainable } from '../transform/index.ts'
import { type Accumulation, accumulating, emptySums } from './accumulate.ts'
import { dynamicLossScale, type LossScale, noLossScale } from './loss-scale.ts'
import { initialValue, powerName } from './state.ts'

/** A carried array, and the parameter whose first value it begins with: itself, or of an average what it averages. */
export interface Carried extends TensorType {
  readonly begins: Attributes['parameter']
}

/** One training step as a graph (state, batch, noise) -> (state, metrics), and what a host must know to run it. */
export interface StepPlan {
  readonly graph: Graph
  /** As declared, before optimisation: what `lint` reads. */
  readonly declared: Graph
  readonly intent: Intent
  readonly carry: Carry
  /** The carried arrays. */
  readonly leaves: Readonly<Record<string, Carried>>
  /** Batches that make a step, run one after another; the graph is that of one of them. */
  readonly parts: number
  /** Scalars of step 0, 1, ... that the host computes in float64: rates, bias corrections, the average's decay. */
  readonly hostFeeds: (step: number, part?: number) => Values
  readonly rate: (step: number) => number
  /**
   * The carried arrays before the first step; the average begins as a copy of the parameters. Nothing is drawn of what is given,
   * by name, in the shape of its leaf.
   */
  readonly initial: (seed: number, given?: Values) => Values
  /** Where it has a memory budget: what it takes without. */
  readonly unbudgeted?: { readonly peakBytes: number; readonly flops: number }
  /** Where it is computed in half precision: what it takes in float32. */
  readonly inFloat32?: { readonly peakBytes: number }
  /** What is carried from part to part beside the state, as it is before a step: no step needs it of the one before. */
  readonly passing: Values
}

type OptimizerConfig = Training['optimizer']
/** Everything but its kind has a default. */
type Defaulted<C extends OptimizerConfig> = C extends OptimizerConfig
  ? Pick<C, 'kind'> & Partial<Omit<C, 'kind'>>
  : never
/** What of a training's declaration an optimiser depends on; what has a default in JSON has it here. */
export type OptimizerOptions = {
  readonly optimizer: Defaulted<OptimizerConfig>
  readonly learningRate: RateOver
} & Partial<Pick<Training, 'clipNorm'>>
/** What of a training's declaration a step depends on. */
export type StepOptions = OptimizerOptions &
  Pick<Training, 'steps'> &
  Partial<Pick<Training, 'accumulate' | 'emaDecay' | 'postHocEma' | 'precision'>>

/** One optimiser's part of a step: a loss, and the parameters that it moves. */
export interface OptimizerTurn extends OptimizerOptions {
  /** Of its fed scalars; from the second on, of its metrics too. */
  readonly name: string
  readonly loss: Loss & { readonly buffers?: Buffers }
  readonly parameters: readonly Tensor[]
}

/**
 * What a later turn sees of the earlier ones: `simultaneous`, their buffers; `alternating`, the parameters they have updated too,
 * as the reference's loop over optimisers does.
 */
export type UpdateOrder = 'simultaneous' | 'alternating'

export interface TurnsOptions
  extends Pick<Training, 'steps'>,
    Partial<Pick<Training, 'accumulate' | 'emaDecay' | 'postHocEma' | 'precision'>> {
  readonly order: UpdateOrder
  /** Of all that the turns and the average leave. */
  readonly amendment?: Amendment | undefined
}

const pair = (betas: readonly number[]): readonly [number, number] => [betas[0] ?? 0.9, betas[1] ?? 0.999]
const optimizers: {
  readonly [K in OptimizerConfig['kind']]: (c: Defaulted<Extract<OptimizerConfig, { readonly kind: K }>>) => Optimizer
} = {
  adam: ({ betas, ...c }) => adam({ ...c, ...(betas === undefined ? {} : { betas: pair(betas) }) }),
  adamw: ({ betas, ...c }) => adamW({ ...c, ...(betas === undefined ? {} : { betas: pair(betas) }) }),
  sgd,
}
const optimizerOf = <K extends OptimizerConfig['kind']>(
  kind: K,
  c: Defaulted<Extract<OptimizerConfig, { readonly kind: K }>>,
): Optimizer => optimizers[kind](c)

const scalarFeeds = (scope: string, values: Readonly<Record<string, number>>, wanted: readonly string[]): Values =>
  Object.fromEntries(wanted.map((name) => [`${scope}.${name}`, floats([], Float32Array.of(values[name] ?? 0))]))

const byName = (ps: readonly Tensor[], of: readonly Tensor[] = ps): Tensors =>
  Object.fromEntries(ps.map((p, i) => [leafName(p) ?? '', of[i] ?? p]))

/** A turn over the state before the step. */
interface Played {
  readonly metrics: Tensors
  readonly buffers: Tensors
  readonly parameters: Tensors
  readonly slots: Tensors
  /** What its gradients and metrics add up to so far. */
  readonly sums: Tensors
  readonly gradients: Tensors
}

const played = (
  turn: OptimizerTurn,
  optimizer: Optimizer,
  prefix: string,
  { mean }: Accumulation,
  scale: LossScale,
): Played => {
  const { loss, log, buffers = {} } = turn.loss
  const weights = byName(turn.parameters)
  const gradients = scale.unscaled(grad(scale.scaled(loss), turn.parameters))
  const { means: raw, sums } = mean('gradient', byName(turn.parameters, gradients))
  const metrics = mean('metric', { ...log, [`${prefix}loss`]: loss })
  const clipped = turn.clipNorm === undefined ? undefined : clipByGlobalNorm(turn.clipNorm)(raw)
  const { parameters, state } = optimizer.update({
    parameters: weights,
    gradients: clipped?.gradients ?? raw,
    state: optimizer.init('optimizer', weights),
    scalars: scalarInputs(turn.name, optimizer.scalars),
  })
  const norm = clipped === undefined ? {} : { [`${prefix}gradient_norm`]: clipped.norm }
  return {
    metrics: { ...metrics.means, ...norm },
    buffers,
    parameters,
    slots: stateOutputs('optimizer', state),
    sums: { ...sums, ...metrics.sums },
    gradients: raw,
  }
}

/** A turn told what earlier ones leave. */
const after = (earlier: Tensors, turn: Played): Played => {
  const groups = [turn.metrics, turn.buffers, turn.parameters, turn.slots, turn.sums, turn.gradients]
  const now = RR.map(
    substitution(
      earlier,
      groups.flatMap((tensors) => Object.values(tensors)),
    ),
  )
  return {
    metrics: now(turn.metrics),
    buffers: now(turn.buffers),
    parameters: now(turn.parameters),
    slots: now(turn.slots),
    sums: now(turn.sums),
    gradients: now(turn.gradients),
  }
}

const leftBy: { readonly [O in UpdateOrder]: (turn: Played) => Tensors } = {
  simultaneous: ({ buffers }) => buffers,
  alternating: ({ buffers, parameters }) => ({ ...buffers, ...parameters }),
}
const inOrder = (order: UpdateOrder, turns: readonly Played[]): readonly Played[] => {
  const done: Played[] = []
  for (const turn of turns) done.push(after(Object.assign({}, ...done.map(leftBy[order])), turn))
  return done
}
const merged = <K extends keyof Played>(turns: readonly Played[], group: K): Tensors =>
  Object.assign({}, ...turns.map((turn) => turn[group]))

interface Average {
  /** Of its leaves, `<scope>.shadow.<parameter>`, and of its scalars. */
  readonly scope: string
  readonly average: Ema
}
const averagesOf = (decay: number | undefined, sigmaRels: readonly number[] = []): readonly Average[] => [
  ...(decay === undefined ? [] : [{ scope: 'ema', average: ema({ decay }) }]),
  ...sigmaRels.map((sigmaRel, i) => ({ scope: at('ema', powerName(i)), average: powerEma(sigmaRel) })),
]

/**
 * Forward, backward, clipping and optimiser of each turn, and the averages of the first one's parameters, as one graph. Turns are
 * declared over the state before the step, and move different parameters; what they have in common is computed once; an amendment has the last word. State
 * leaves and the outputs that replace them have the same names: `optimizer.<slot>.<parameter>`,
 * `ema.shadow.<parameter>`, `ema.power0.shadow.<parameter>`, and the parameters' and buffers' own.
 */
export const stepOfTurns = (
  turns: readonly [OptimizerTurn, ...OptimizerTurn[]],
  { steps, order, emaDecay, postHocEma, amendment, accumulate = 1, precision = 'float32' }: TurnsOptions,
): Checked<StepPlan> => {
  const whole = turns.length > 1 || amendment !== undefined || Object.keys(turns[0].loss.buffers ?? {}).length > 0
  if (accumulate > 1 && whole)
    return fail(
      'config',
      '/accumulate',
      '1, where two optimisers take turns or something beside the gradients sees the whole batch',
      String(accumulate),
    )
  if (precision === 'float16' && (accumulate > 1 || turns.length > 1))
    return fail(
      'config',
      '/precision',
      'bfloat16 or float32, where two optimisers take turns or a step takes several batches: float16 scales one loss',
      precision,
    )
  const accumulation = accumulating(accumulate)
  const scale = precision === 'float16' ? dynamicLossScale() : noLossScale
  const moved = turns.map((turn, i) => ({
    name: turn.name,
    prefix: i === 0 ? '' : `${turn.name}_`,
    optimizer: optimizerOf(turn.optimizer.kind, turn.optimizer),
    schedule: rateOver(turn.learningRate, steps),
    turn,
  }))
  const done = inOrder(
    order,
    moved.map(({ turn, optimizer, prefix }) => played(turn, optimizer, prefix, accumulation, scale)),
  )
  const averages = averagesOf(emaDecay, postHocEma?.sigmaRel)
  const shadows = averages.map(({ scope, average }) =>
    stateOutputs(
      scope,
      average.update({
        parameters: done[0]?.parameters ?? {},
        state: average.init(scope, byName(turns[0].parameters)),
        scalars: scalarInputs(scope, average.scalars),
      }),
    ),
  )
  const left: Tensors = {
    ...merged(done, 'buffers'),
    ...merged(done, 'parameters'),
    ...merged(done, 'slots'),
    ...Object.assign({}, ...shadows),
  }
  const amended = amendment?.amend(left, scalarInputs(amendment.scope, amendment.scalars))
  const kept = scale.unlessBroken({ ...left, ...amended?.state }, Object.values(merged(done, 'gradients')))
  const state: Tensors = accumulation.atLast(kept.state)
  const metrics = { ...merged(done, 'metrics'), ...amended?.log, ...kept.log }
  const sums = merged(done, 'sums')
  const feedsOf = (step: number): readonly Values[] =>
    moved.map(({ name, optimizer, schedule }) =>
      scalarFeeds(name, optimizer.at({ step: step + 1, rate: learningRate(schedule, step) }), optimizer.scalars),
    )
  return pipe(
    freeze({ ...metrics, ...state, ...sums }),
    E.bindTo('declared'),
    E.let('leaves', ({ declared }) => carriedLeaves(declared, Object.keys(state))),
    E.map(({ declared, leaves }) => ({
      graph: optimise(declared, scale.leaves),
      declared,
      intent: {
        losses: moved.map(({ prefix }) => `${prefix}loss`),
        optimizers: Object.fromEntries(
          moved.map(({ name, turn }) => [name, turn.parameters.map((p) => leafName(p) ?? '')]),
        ),
      },
      carry: pipe(
        { ...state, ...sums },
        RR.mapWithIndex((name) => name),
      ),
      parts: accumulate,
      passing: emptySums(sums),
      rate: (step) => learningRate(rateOver(turns[0].learningRate, steps), step),
      hostFeeds: (step, part = 0) =>
        Object.assign(
          {},
          ...feedsOf(step),
          accumulation.feeds(part),
          ...averages.map(({ scope, average }) => scalarFeeds(scope, average.at(step + 1), average.scalars)),
          amendment === undefined ? {} : scalarFeeds(amendment.scope, amendment.at(step + 1), amendment.scalars),
        ),
      leaves,
      initial: (seed, given = {}) =>
        RR.mapWithIndex((name, { begins }: Carried) => given[name] ?? given[begins.name] ?? initialValue(seed, begins))(
          leaves,
        ),
    })),
  )
}

/** The step of one loss and one optimiser, named `optimizer`, that moves everything the loss trains. */
export const trainingStep = (loss: Loss, options: StepOptions): Checked<StepPlan> =>
  stepOfTurns([{ ...options, name: 'optimizer', loss, parameters: trainable(loss.loss) }], {
    ...options,
    order: 'simultaneous',
  })

/** The parameter that a leaf averages. */
const averaged = (leaf: string): string | undefined => /^ema\.(?:power\d+\.)?shadow\.(.+)$/.exec(leaf)?.[1]
const carriedLeaves = (g: Graph, carried: readonly string[]): StepPlan['leaves'] => {
  const leaves = Object.fromEntries(parameters(g).map((p) => [p.name, p]))
  return Object.fromEntries(
    carried.flatMap((name) => {
      const leaf = leaves[name]
      if (leaf === undefined) return []
      return [[name, { dtype: 'float32', shape: leaf.shape, begins: leaves[averaged(name) ?? ''] ?? leaf }] as const]
    }),
  )
}
