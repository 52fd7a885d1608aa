import { freeze, leafName, type Tensor } from '../declare/index.ts'
import type { Checked } from '../error.ts'
import { type Carry, floats, type Values } from '../execute/executor.ts'
import type { Training } from '../experiment/document.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import type { Loss } from '../losses/index.ts'
import {
  adam,
  adamW,
  clipByGlobalNorm,
  ema,
  type Optimizer,
  scalarInputs,
  sgd,
  stateOutputs,
  type Tensors,
} from '../optimizers/index.ts'
import { E, pipe, RR } from '../prelude.ts'
import { type LearningRate, learningRate } from '../schedulers/learning-rate.ts'
import { grad, type Intent, optimise, trainable } from '../transform/index.ts'
import { initialValue } from './state.ts'

/** One training step as a graph (state, batch, noise) -> (state, metrics), and what a host must know to run it. */
export interface StepPlan {
  readonly graph: Graph
  /** As declared, before optimisation: what `lint` reads. */
  readonly declared: Graph
  readonly intent: Intent
  readonly carry: Carry
  /** Scalars of step 0, 1, ... that the host computes in float64: rates, bias corrections, the average's decay. */
  readonly hostFeeds: (step: number) => Values
  readonly rate: (step: number) => number
  /** The carried arrays before the first step; the average begins as a copy of the parameters. */
  readonly initial: (seed: number) => Values
}

/** What of a training's declaration a step depends on. */
export type StepOptions = Pick<Training, 'steps' | 'optimizer' | 'learningRate'> &
  Partial<Pick<Training, 'clipNorm' | 'emaDecay'>>
type OptimizerConfig = Training['optimizer']
const pair = (betas: readonly number[]): readonly [number, number] => [betas[0] ?? 0.9, betas[1] ?? 0.999]
const optimizers: {
  readonly [K in OptimizerConfig['kind']]: (c: Extract<OptimizerConfig, { readonly kind: K }>) => Optimizer
} = {
  adam: ({ betas, ...c }) => adam({ ...c, betas: pair(betas) }),
  adamw: ({ betas, ...c }) => adamW({ ...c, betas: pair(betas) }),
  sgd,
}
const optimizerOf = <K extends OptimizerConfig['kind']>(
  kind: K,
  c: Extract<OptimizerConfig, { readonly kind: K }>,
): Optimizer => optimizers[kind](c)

/** The declared rate, its cosine ending with the training. */
const rateSchedule = ({ learningRate: declared, steps }: StepOptions): LearningRate =>
  declared.kind === 'warm-up-cosine' ? { ...declared, length: steps } : declared

const scalarFeeds = (scope: string, values: Readonly<Record<string, number>>, wanted: readonly string[]): Values =>
  Object.fromEntries(wanted.map((name) => [`${scope}.${name}`, floats([], Float32Array.of(values[name] ?? 0))]))

const byName = (ps: readonly Tensor[], of: readonly Tensor[] = ps): Tensors =>
  Object.fromEntries(ps.map((p, i) => [leafName(p) ?? '', of[i] ?? p]))

/**
 * Forward, backward, clipping, optimiser and average of the parameters that the loss trains, as one graph. State
 * leaves and the outputs that replace them have the same names: `optimizer.<slot>.<parameter>`,
 * `ema.shadow.<parameter>`, and the parameters' own.
 */
export const trainingStep = ({ loss, log }: Loss, training: StepOptions): Checked<StepPlan> => {
  const leaves = trainable(loss)
  const weights = byName(leaves)
  const raw = byName(leaves, grad(loss, leaves))
  const clipped = training.clipNorm === undefined ? undefined : clipByGlobalNorm(training.clipNorm)(raw)
  const optimizer = optimizerOf(training.optimizer.kind, training.optimizer)
  const average = training.emaDecay === undefined ? undefined : ema({ decay: training.emaDecay })

  const updated = optimizer.update({
    parameters: weights,
    gradients: clipped?.gradients ?? raw,
    state: optimizer.init('optimizer', weights),
    scalars: scalarInputs('optimizer', optimizer.scalars),
  })
  const shadow = average?.update({
    parameters: updated.parameters,
    state: average.init('ema', weights),
    scalars: scalarInputs('ema', average.scalars),
  })
  const state: Tensors = {
    ...updated.parameters,
    ...stateOutputs('optimizer', updated.state),
    ...(shadow === undefined ? {} : stateOutputs('ema', shadow)),
  }
  const metrics: Tensors = { ...log, loss, ...(clipped === undefined ? {} : { gradient_norm: clipped.norm }) }
  const rate = rateSchedule(training)
  return pipe(
    freeze({ ...metrics, ...state }),
    E.map((declared) => ({
      graph: optimise(declared),
      declared,
      intent: { losses: ['loss'], optimizers: { optimizer: Object.keys(weights) } },
      carry: pipe(
        state,
        RR.mapWithIndex((name) => name),
      ),
      rate: (step) => learningRate(rate, step),
      hostFeeds: (step) => ({
        ...scalarFeeds(
          'optimizer',
          optimizer.at({ step: step + 1, rate: learningRate(rate, step) }),
          optimizer.scalars,
        ),
        ...(average === undefined ? {} : scalarFeeds('ema', average.at(step + 1), average.scalars)),
      }),
      initial: (seed) => initialState(declared, Object.keys(state), seed),
    })),
  )
}

const shadowOf = 'ema.shadow.'
const initialState = (g: Graph, carried: readonly string[], seed: number): Values => {
  const leaves = Object.fromEntries(parameters(g).map((p) => [p.name, p]))
  return Object.fromEntries(
    carried.flatMap((name) => {
      const leaf = leaves[name]
      if (leaf === undefined) return []
      const source = name.startsWith(shadowOf) ? leaves[name.slice(shadowOf.length)] : undefined
      const value = initialValue(seed, source ?? leaf)
      return [[name, source === undefined ? value : { ...value, shape: leaf.shape }] as const]
    }),
  )
}
