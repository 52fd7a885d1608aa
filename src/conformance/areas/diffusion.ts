import {
  add,
  broadcast,
  cast,
  concat,
  mean,
  mul,
  parameter,
  perItem,
  type Scope,
  silu,
  type Tensor,
  unsqueeze,
} from '../../declare/index.ts'
import {
  type Denoiser,
  denoiser,
  pMeanVariance,
  predictEpsFromStart,
  predictStartFromNoise,
  priorBpd,
  pSample,
  qMeanVariance,
  qPosterior,
  qSample,
} from '../../diffusion/index.ts'
import { ddpmLoss, fixedLogvar, latentDiffusionLoss, learnedLogvar } from '../../diffusion/objective.ts'
import type { Checked } from '../../error.ts'
import type { Loss } from '../../losses/index.ts'
import { conv2d, getTimestepEmbedding, timestepEmbedding, zeros } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { noiseScheduleFromCompVis } from '../../schedulers/compvis.ts'
import { type NoiseSchedule, noiseSchedule } from '../../schedulers/noise-schedule.ts'
import { flag, integer, number, record, text, withDefault, word } from '../../schema.ts'
import type { Case } from '../case.ts'
import { adapter, area, type Plan } from '../plan.ts'
import { given, graphPlan, optional } from '../rebuild.ts'
import { type CompVisScheduleConfig, scheduleConfig } from './schedule.ts'

const positive = integer({ min: 1 })
const parameterization = withDefault(word(['eps', 'x0']), 'eps')

export const scheduleOf = (config: CompVisScheduleConfig): Checked<NoiseSchedule> =>
  pipe(noiseScheduleFromCompVis(config), E.flatMap(noiseSchedule))

/**
 * The network of these cases: conv2(silu(conv1([x | concat]) + tproj t / T + mean(context) + 0.1 y)), 3x3 convolutions.
 */
const toyNetwork =
  (s: Scope, c: Case, { timesteps }: NoiseSchedule) =>
  (x: Tensor, t: Tensor): Tensor => {
    const projection = `${s}.tproj`
    const width = c.params[projection]?.shape[1] ?? 0
    const [joined, context, y] = [optional(c, 'c_concat'), optional(c, 'c_crossattn'), optional(c, 'y')]
    const hidden = pipe(
      joined === undefined ? x : concat(1, x, joined),
      conv2d(`${s}.conv1`, { out: width, kernel: 3, padding: 1 }),
    )
    const told = [
      pipe(
        parameter('', projection, [1, width, 1, 1], zeros),
        mul(pipe(t, cast('float32'), mul(1 / timesteps), perItem(x))),
      ),
      ...(context === undefined ? [] : [pipe(context, mean({ axes: [1, 2] }), perItem(x))]),
      ...(y === undefined ? [] : [pipe(y, mul(0.1), perItem(x))]),
    ]
    return pipe(
      told.reduce((h, term) => pipe(h, add(term)), hidden),
      silu,
      conv2d(`${s}.conv2`, { out: x.shape[1] ?? 0, kernel: 3, padding: 1 }),
    )
  }

const denoiserOf = (c: Case, s: NoiseSchedule, predicts: 'eps' | 'x0'): Denoiser =>
  denoiser(predicts, toyNetwork('model.diffusion_model', c, s))

const functions = (c: Case, s: NoiseSchedule, predicts: 'eps' | 'x0'): Checked<Plan> => {
  const [x0, xt, t, noise] = [given(c, 'x_start'), given(c, 'x_t'), given(c, 't'), given(c, 'noise')]
  const denoise = denoiserOf(c, s, predicts)
  const q = qMeanVariance(s, { x0, t })
  const posterior = qPosterior(s, { x0, xt, t })
  const reverse = (suffix: string, options: { readonly clip?: number }): Readonly<Record<string, Tensor>> => {
    const p = pMeanVariance(s, denoise, { xt, t }, options)
    return {
      [`p_mean.${suffix}`]: p.mean,
      [`p_variance.${suffix}`]: p.variance,
      [`p_log_variance.${suffix}`]: p.logVariance,
      [`p_sample.${suffix}`]: pSample(s, denoise, { xt, t, noise: given(c, 'p_noise') }, options),
    }
  }
  return graphPlan(c, {
    q_sample: qSample(s, { x0, eps: noise, t }),
    q_mean: q.mean,
    q_variance: q.variance,
    q_log_variance: q.logVariance,
    predict_start_from_noise: predictStartFromNoise(s, { xt, t, eps: noise }),
    q_posterior_mean: posterior.mean,
    q_posterior_variance: posterior.variance,
    q_posterior_log_variance_clipped: posterior.logVariance,
    model_out: denoise(xt, t),
    ...reverse('clip', { clip: 1 }),
    ...reverse('noclip', {}),
    predict_eps_from_xstart: predictEpsFromStart(s, { xt, t, x0 }),
    prior_bpd: priorBpd(s, x0),
  })
}

const lossConfig = record(
  {},
  {
    parameterization,
    loss_type: withDefault(word(['l1', 'l2']), 'l2'),
    l_simple_weight: withDefault(number(), 1),
    original_elbo_weight: withDefault(number(), 0),
    learn_logvar: withDefault(flag, false),
    logvar_init: withDefault(number(), 0),
    train: withDefault(flag, true),
  },
  { ...scheduleConfig, cls: text, channels: positive, conditioning_key: text },
)
type LossConfig = (typeof lossConfig)['_A']

type LossOf = (
  s: NoiseSchedule,
  objective: NonNullable<Parameters<typeof ddpmLoss>[1]>,
  config: LossConfig,
) => (denoise: Denoiser, batch: Parameters<ReturnType<typeof ddpmLoss>>[1]) => Loss

/** `loss`, and what is logged under `train/` or `val/`; the mean of the log-variances without either. */
const lossPlan =
  (lossOf: LossOf) =>
  (config: LossConfig, c: Case): Checked<Plan> =>
    pipe(
      scheduleOf(config),
      E.flatMap((s) => {
        const objective = {
          norm: config.loss_type,
          simpleWeight: config.l_simple_weight,
          vlbWeight: config.original_elbo_weight,
          vlbWeights: optional(c, 'lvlb_weights') ?? s.referenceVlbWeights[config.parameterization],
        }
        const batch = { x0: given(c, 'x_start'), eps: given(c, 'noise'), t: given(c, 't') }
        const { loss, log } = lossOf(s, objective, config)(denoiserOf(c, s, config.parameterization), batch)
        const split = config.train ? 'train' : 'val'
        const logged = Object.entries(log).flatMap(([name, x]) => {
          const out = name === 'logvar' ? `log.${name}` : `log.${split}/${name}`
          return `out.${out}` in c.expected ? [[out, x] as const] : []
        })
        return graphPlan(c, { loss, ...Object.fromEntries(logged) })
      }),
    )

const functionConfig = record({}, { parameterization }, { ...scheduleConfig, channels: positive })

export const diffusion = area(
  {
    'ddpm.py DDPM': adapter(functionConfig, (config, c) =>
      pipe(
        scheduleOf(config),
        E.flatMap((s) => functions(c, s, config.parameterization)),
      ),
    ),
    'ddpm.py DDPM.p_losses': adapter(
      lossConfig,
      lossPlan((s, objective) => ddpmLoss(s, objective)),
    ),
    'ddpm.py LatentDiffusion.p_losses': adapter(
      lossConfig,
      lossPlan((s, objective, { learn_logvar, logvar_init }) =>
        latentDiffusionLoss(s, {
          ...objective,
          logvar: learn_logvar ? learnedLogvar('', s.timesteps, logvar_init) : fixedLogvar(s.timesteps, logvar_init),
        }),
      ),
    ),
    'util.py timestep_embedding': adapter(
      record({ dim: positive }, { max_period: withDefault(number({ above: 0 }), 10000) }, { odd_dim: positive }),
      ({ dim, odd_dim = dim + 1, max_period: maxPeriod }, c) => {
        const t = given(c, 't')
        return graphPlan(c, {
          timestep_embedding: pipe(t, timestepEmbedding(dim, { maxPeriod })),
          timestep_embedding_float: pipe(given(c, 't_float'), timestepEmbedding(dim, { maxPeriod })),
          timestep_embedding_odd: pipe(t, timestepEmbedding(odd_dim, { maxPeriod })),
          repeat_only: pipe(t, unsqueeze(1), broadcast(t.shape[0] ?? 0, dim)),
          get_timestep_embedding: pipe(t, getTimestepEmbedding(dim)),
          get_timestep_embedding_odd: pipe(t, getTimestepEmbedding(odd_dim)),
        })
      },
    ),
  },
  [
    { tensor: /repeat_only/, measure: 'exact', limit: 0 },
    // Our frequencies are exponentials in float64, then rounded; torch's own float32 exponential is a step off some.
    { tensor: /timestep_embedding/, measure: 'absolute', limit: 1e-4 },
    // Near 0 where little is left of x_0; elsewhere 1e-8 is below a step of the expected float32.
    { tensor: /prior_bpd/, measure: 'scaled', limit: 3e-6, room: 1e-8 },
    { tensor: /./, measure: 'scaled', limit: 3e-6 },
  ],
)
