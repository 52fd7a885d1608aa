import { at, input, parameter, type Tensor } from '../../declare/index.ts'
import type { Checked } from '../../error.ts'
import { floats, type Values } from '../../execute/executor.ts'
import type { Shape } from '../../graph/types.ts'
import { zeros } from '../../nn/index.ts'
import {
  type AdamOptions,
  adam,
  adamW,
  clipByGlobalNorm,
  type Optimizer,
  scalarInputs,
  sgd,
  stateOutputs,
  torchMoments,
} from '../../optimizers/index.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import { learningRate } from '../../schedulers/learning-rate.ts'
import { anything, integer, list, number, record, text, withDefault } from '../../schema.ts'
import { type Case, toValue } from '../case.ts'
import { adapter, type Plan, skip } from '../plan.ts'
import { given, graphPlan } from '../rebuild.ts'
import { emptySlots, fedScalars, prefixed, runSteps, type Stepped, scalarValue } from '../stepping.ts'
import { averaging } from './averaging.ts'
import { rateOf } from './rates.ts'
import { column } from './schedule.ts'

const shapesOf = (c: Case): Readonly<Record<string, Shape>> =>
  pipe(
    c.params,
    RR.map(({ shape }): Shape => shape),
  )

/** How torch keeps what a slot keeps: its name, and the factor that makes it of ours. */
interface TorchSlot {
  readonly name: string
  readonly factor: number
}

const torchState = (
  slots: Readonly<Record<string, TorchSlot>>,
  shapes: Readonly<Record<string, Shape>>,
  { state }: Stepped,
): Values =>
  Object.fromEntries(
    Object.entries(slots).flatMap(([slot, { name, factor }]) =>
      Object.entries(shapes).flatMap(([k, shape]) => {
        const value = state[at(at('opt', slot), k)]
        return value === undefined
          ? []
          : [
              [
                `out.state.${k}.${name}`,
                floats(
                  shape,
                  Float64Array.from(value.data, (x) => x * factor),
                ),
              ] as const,
            ]
      }),
    ),
  )

const stepConfig = {
  required: { lr: number(), steps: integer({ min: 1 }) },
  defaulted: { weight_decay: withDefault(number(), 0) },
  optional: { optimizer: text, scheduler: list(anything) },
}
interface StepConfig {
  readonly lr: number
  readonly steps: number
  readonly scheduler?: readonly unknown[]
}

/** The rate at each step, by `LambdaLR` where there is a scheduler. */
const ratesOf = ({ lr, steps, scheduler }: StepConfig, c: Case): Checked<readonly number[]> => {
  const each = Array.from({ length: steps }, (_, step) => step)
  if (scheduler === undefined) return E.right(each.map(() => lr))
  const [className, args] = scheduler
  return pipe(
    rateOf(String(className), args, lr, `${c.file.path}: config/scheduler/1`),
    E.map((schedule) => each.map((step) => learningRate(schedule, step))),
  )
}

/** Steps of an optimiser on given gradients. */
const optimizerPlan = <S extends string, H extends string>(
  optimizer: Optimizer<S, H>,
  slots: Readonly<Record<S, TorchSlot>>,
  config: StepConfig,
  c: Case,
): Checked<Plan> =>
  pipe(
    ratesOf(config, c),
    E.map((rates): Plan => {
      const shapes = shapesOf(c)
      const parameters = RR.mapWithIndex((k: string, shape: Shape) => parameter('', k, shape, zeros))(shapes)
      const gradients = RR.mapWithIndex((k: string, shape: Shape) => input(`grad.${k}`, { dtype: 'float32', shape }))(
        shapes,
      )
      const next = optimizer.update({
        parameters,
        gradients,
        state: optimizer.init('opt', parameters),
        scalars: scalarInputs('opt', optimizer.scalars),
      })
      const stepping = {
        state: { ...next.parameters, ...stateOutputs('opt', next.state) },
        outputs: {},
        initial: {
          ...RR.map(toValue)(c.params),
          ...emptySlots('opt', Object.keys(slots), shapes),
        },
        feeds: rates.map((rate, i) => ({
          ...fedScalars('opt', optimizer.scalars, optimizer.at({ step: i + 1, rate })),
          ...Object.fromEntries(
            Object.keys(shapes).flatMap((k) => {
              const gradient = c.inputs[`step${i}.grad.${k}`]
              return gradient === undefined ? [] : [[`grad.${k}`, toValue(gradient)] as const]
            }),
          ),
        })),
      }
      const reported = (steps: readonly Stepped[]): Values => ({
        ...Object.assign(
          {},
          ...steps.map(({ state }, i) =>
            prefixed(`out.step${i}.`, RR.filterWithIndex((k: string) => k in shapes)(state)),
          ),
        ),
        ...Object.assign({}, ...steps.slice(-1).map((last) => torchState(slots, shapes, last))),
        ...Object.fromEntries(Object.keys(shapes).map((k) => [`out.state.${k}.step`, scalarValue(steps.length)])),
        'out.lr': column(rates),
      })
      return { kind: 'effect', run: (executor) => pipe(runSteps(stepping)(executor), TE.map(reported)) }
    }),
  )

export const betasOf = ([first = 0.9, second = 0.999]: readonly number[]): readonly [number, number] => [first, second]
const adamConfig = (weightDecay: number) =>
  record(
    stepConfig.required,
    {
      betas: withDefault(list(number()), [0.9, 0.999]),
      eps: withDefault(number(), 1e-8),
      weight_decay: withDefault(number(), weightDecay),
    },
    stepConfig.optional,
  )
const adamSlots = (betas: readonly [number, number]): Readonly<Record<'m' | 'v', TorchSlot>> => ({
  m: { name: 'exp_avg', factor: torchMoments(betas).m },
  v: { name: 'exp_avg_sq', factor: torchMoments(betas).v },
})
const adamAdapter = <H extends string>(make: (options: AdamOptions) => Optimizer<'m' | 'v', H>, weightDecay: number) =>
  adapter(adamConfig(weightDecay), (config, c) => {
    const betas = betasOf(config.betas)
    return optimizerPlan(
      make({ betas, eps: config.eps, weightDecay: config.weight_decay }),
      adamSlots(betas),
      config,
      c,
    )
  })

const clipping = adapter(
  record({ max_norm: number() }, { norm_type: withDefault(number(), 2) }),
  ({ max_norm, norm_type }, c): Checked<Plan> => {
    if (norm_type !== 2) return E.right(skip(`norms other than the Euclidean are not offered: ${norm_type}`))
    const names = Object.keys(c.inputs)
    const { gradients, norm } = clipByGlobalNorm(max_norm)(
      Object.fromEntries(names.map((name): readonly [string, Tensor] => [name, given(c, name)])),
    )
    return graphPlan(c, { ...gradients, total_norm: norm })
  },
)

export const optimizers = {
  'torch.optim.Adam': adamAdapter(adam, 0),
  'torch.optim.AdamW': adamAdapter(adamW, 0.01),
  'torch.optim.SGD': adapter(
    record(stepConfig.required, { ...stepConfig.defaulted, momentum: withDefault(number(), 0) }, stepConfig.optional),
    (config, c) =>
      optimizerPlan(
        sgd({ momentum: config.momentum, weightDecay: config.weight_decay }),
        { momentum: { name: 'momentum_buffer', factor: 1 } },
        config,
        c,
      ),
  ),
  'torch.nn.utils.clip_grad_norm_': clipping,
  'ema.py LitEma': averaging,
}
