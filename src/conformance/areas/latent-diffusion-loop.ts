import { input, isTensor, leafName, type Tensor } from '../../declare/index.ts'
import { denoiser, fixedLogvar, latentDiffusionLoss, learnedLogvar } from '../../diffusion/index.ts'
import { type Checked, collect, fail } from '../../error.ts'
import { floats, type Value, type Values } from '../../execute/executor.ts'
import { publishedUNet, unet } from '../../nn/index.ts'
import { adamW, ema, scalarInputs, stateOutputs } from '../../optimizers/index.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import { learningRate } from '../../schedulers/learning-rate.ts'
import { anything, flag, integer, list, number, record, text, withDefault, word } from '../../schema.ts'
import { grad, trainable } from '../../transform/index.ts'
import { type Case, toValue } from '../case.ts'
import { type FormulaParameters, formulaOf, freshValue, parameterOf, summed } from '../formula.ts'
import { adapter, type Plan } from '../plan.ts'
import { emptySlots, fedScalars, runSteps, type Stepped, type Stepping } from '../stepping.ts'
import { scheduleOf } from './diffusion.ts'
import { betasOf } from './optimizers.ts'
import { rateOf } from './rates.ts'
import { column, scheduleConfig } from './schedule.ts'

/** Whole steps of latent diffusion: loss, gradients, AdamW, the rate's schedule, the average. */

const ldmConfig = record(
  {},
  {
    loss_type: withDefault(word(['l1', 'l2']), 'l2'),
    parameterization: withDefault(word(['eps', 'x0']), 'eps'),
    l_simple_weight: withDefault(number(), 1),
    original_elbo_weight: withDefault(number(), 0),
    learn_logvar: withDefault(flag, false),
    logvar_init: withDefault(number(), 0),
  },
  { ...scheduleConfig, conditioning_key: text },
)
const loopConfig = record(
  { lr: number(), steps: integer({ min: 1 }), ldm: ldmConfig, unet: anything },
  { betas: withDefault(list(number()), [0.9, 0.999]), weight_decay: withDefault(number(), 0.01) },
  { scheduler: anything },
)
type LoopConfig = (typeof loopConfig)['_A']

/** What every step is fed of the case, by the names after `in.step<s>.`; shapes are those of the first. */
const batchLeaf = (c: Case, name: string): Tensor | undefined => {
  const array = c.inputs[`step0.${name}`]
  if (array === undefined) return undefined
  const { dtype, shape } = toValue(array)
  return input(name, { dtype, shape })
}
const fedBatch = (c: Case, step: number): Values =>
  Object.fromEntries(
    Object.entries(c.inputs).flatMap(([name, array]) => {
      const [, leaf] = new RegExp(`^step${step}\\.([^.]+)$`).exec(name) ?? []
      return leaf === undefined ? [] : [[leaf, toValue(array)] as const]
    }),
  )

const batchOf = (c: Case): Checked<{ readonly z: Tensor; readonly t: Tensor; readonly noise: Tensor }> => {
  const [z, t, noise] = [batchLeaf(c, 'z'), batchLeaf(c, 't'), batchLeaf(c, 'noise')]
  return z === undefined || t === undefined || noise === undefined
    ? fail('data', c.file.path, 'in.step0.z, in.step0.t and in.step0.noise', Object.keys(c.inputs).join(', '))
    : E.right({ z, t, noise })
}

/** Rows [sum, l2, dot with the probe of its name] in the order of the reference's parameters. */
export const rows = ({ shapes }: FormulaParameters, arrayOf: (key: string) => Value | undefined): Value =>
  floats(
    [shapes.length, 3],
    Float64Array.from(
      shapes.flatMap(([key]) => {
        const array = arrayOf(key)
        return array === undefined ? [Number.NaN, Number.NaN, Number.NaN] : summed(key, array)
      }),
    ),
  )
const shadowLeaf = (key: string): string => `ema.shadow.${key}`

const reported =
  (formula: FormulaParameters, rates: readonly number[]) =>
  (steps: readonly Stepped[]): Values => ({
    ...Object.assign(
      {},
      ...steps.map(({ outputs, state }, s) => ({
        ...Object.fromEntries(Object.entries(outputs).map(([name, x]) => [`out.step${s}.${name}`, x])),
        [`out.step${s}.params`]: rows(formula, (key) => state[key]),
        [`out.step${s}.ema`]: rows(formula, (key) => state[shadowLeaf(key)]),
      })),
    ),
    'out.lr': column(rates),
  })

const ratesOf = (config: LoopConfig, c: Case): Checked<readonly number[]> => {
  const each = Array.from({ length: config.steps }, (_, step) => step)
  return config.scheduler === undefined
    ? E.right(each.map(() => config.lr))
    : pipe(
        rateOf('LambdaLinearScheduler', config.scheduler, config.lr, `${c.file.path}: config/scheduler`),
        E.map((schedule) => each.map((step) => learningRate(schedule, step))),
      )
}

const initialParameters = (c: Case, formula: FormulaParameters, trained: readonly Tensor[]): Checked<Values> =>
  pipe(
    collect(
      trained.filter(isTensor('parameter')).map(({ attributes }) =>
        pipe(
          parameterOf(c, formula)(attributes.name, attributes.shape, freshValue(attributes)),
          E.map((value) => [attributes.name, value] as const),
        ),
      ),
    ),
    E.map((entries): Values => Object.fromEntries(entries)),
  )

const loopPlan = (config: LoopConfig, c: Case): Checked<Plan> =>
  pipe(
    E.Do,
    E.bind('network', () => publishedUNet(config.unet, `${c.file.path}: config/unet`)),
    E.bind('schedule', () => scheduleOf(config.ldm)),
    E.bind('rates', () => ratesOf(config, c)),
    E.bind('batch', () => batchOf(c)),
    E.bind('formula', () => {
      const formula = formulaOf(c)
      return formula === undefined
        ? fail('data', c.file.path, 'param_seed and params, for the formula', 'none')
        : E.right(formula)
    }),
    E.let('loss', ({ network, schedule, batch }) => {
      const { ldm } = config
      const given = { context: batchLeaf(c, 'context'), y: batchLeaf(c, 'y') }
      const predict = (x: Tensor, t: Tensor): Tensor => unet('model.diffusion_model', network)(x, t, given)
      return latentDiffusionLoss(schedule, {
        norm: ldm.loss_type,
        simpleWeight: ldm.l_simple_weight,
        vlbWeight: ldm.original_elbo_weight,
        vlbWeights: schedule.referenceVlbWeights[ldm.parameterization],
        logvar: ldm.learn_logvar
          ? learnedLogvar('', schedule.timesteps, ldm.logvar_init)
          : fixedLogvar(schedule.timesteps, ldm.logvar_init),
      })(denoiser(ldm.parameterization, predict), { x0: batch.z, eps: batch.noise, t: batch.t })
    }),
    E.let('parameters', ({ loss }) => trainable(loss.loss)),
    E.bind('initial', ({ formula, parameters }) => initialParameters(c, formula, parameters)),
    E.map(({ rates, formula, loss: { loss, log }, parameters, initial }): Plan => {
      const optimizer = adamW({ betas: betasOf(config.betas), weightDecay: config.weight_decay })
      const average = ema()
      const byName = (xs: readonly Tensor[]): Readonly<Record<string, Tensor>> =>
        Object.fromEntries(parameters.flatMap((p, i) => (xs[i] === undefined ? [] : [[leafName(p) ?? '', xs[i]]])))
      const before = byName(parameters)
      const next = optimizer.update({
        parameters: before,
        gradients: byName(grad(loss, parameters)),
        state: optimizer.init('opt', before),
        scalars: scalarInputs('opt', optimizer.scalars),
      })
      const shadow = average.update({
        parameters: next.parameters,
        state: average.init('ema', before),
        scalars: scalarInputs('ema', average.scalars),
      })
      const stepping: Stepping = {
        state: { ...next.parameters, ...stateOutputs('opt', next.state), ...stateOutputs('ema', shadow) },
        outputs: {
          loss,
          'log.train/loss_simple': log.loss_simple,
          'log.train/loss_vlb': log.loss_vlb,
          'log.train/loss_gamma': log.loss_gamma,
          'log.logvar': log.logvar,
          'log.train/loss': log.loss,
        },
        initial: {
          ...initial,
          ...emptySlots('opt', Object.keys(next.state), RR.map(({ shape }: Value) => shape)(initial)),
          ...Object.fromEntries(Object.entries(initial).map(([key, value]) => [shadowLeaf(key), value])),
        },
        feeds: rates.map((rate, s) => ({
          ...fedBatch(c, s),
          ...fedScalars('opt', optimizer.scalars, optimizer.at({ step: s + 1, rate })),
          ...fedScalars('ema', average.scalars, average.at(s + 1)),
        })),
      }
      return { kind: 'effect', run: (executor) => pipe(runSteps(stepping)(executor), TE.map(reported(formula, rates))) }
    }),
  )

export const latentDiffusionLoop = adapter(loopConfig, loopPlan)
