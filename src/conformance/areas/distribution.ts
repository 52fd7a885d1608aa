import type { Tensor } from '../../declare/index.ts'
import { discretizedLogLikelihood } from '../../distributions/discretized-gaussian.ts'
import {
  type DiagonalGaussian,
  deterministic,
  diagonalGaussian,
  kl,
  mode,
  nll,
  normalKl,
  sample,
} from '../../distributions/gaussian.ts'
import { pipe } from '../../prelude.ts'
import { list, number, record, withDefault } from '../../schema.ts'
import type { Case } from '../case.ts'
import { adapter, area } from '../plan.ts'
import { given, graphPlan } from '../rebuild.ts'

type Outputs = Readonly<Record<string, Tensor>>

/** What both the distribution and its deterministic form are asked for. */
const described = (c: Case, d: DiagonalGaussian): Outputs => ({
  mean: d.mean,
  logvar: d.logvar,
  std: d.std,
  var: d.var,
  sample: pipe(d, sample(given(c, 'noise'))),
  kl: pipe(d, kl()),
  nll: pipe(d, nll(given(c, 'sample'))),
})

/** `out.nll_dims23`: summed over these axes only. */
const partialNll = (c: Case, d: DiagonalGaussian): Outputs =>
  Object.fromEntries(
    Object.keys(c.expected).flatMap((name) => {
      const [, out, digits] = /^out\.(nll_dims(\d+))$/.exec(name) ?? []
      return out === undefined || digits === undefined
        ? []
        : [[out, pipe(d, nll(given(c, 'sample'), Array.from(digits, Number)))]]
    }),
  )

const prefixed = (prefix: string, outputs: Outputs): Outputs =>
  Object.fromEntries(Object.entries(outputs).map(([name, x]) => [`${prefix}.${name}`, x]))

export const distribution = area(
  {
    'distributions.py DiagonalGaussianDistribution': adapter(record({}, {}, { clamp: list(number()) }), (_, c) => {
      const d = diagonalGaussian(given(c, 'parameters'))
      return graphPlan(c, {
        ...described(c, d),
        mode: mode(d),
        ...('other' in c.inputs ? { kl_other: pipe(d, kl(diagonalGaussian(given(c, 'other')))) } : {}),
        ...partialNll(c, d),
        ...prefixed('deterministic', described(c, deterministic(d))),
      })
    }),
    'distributions.py normal_kl': adapter(record({}), (_, c) => {
      const p = { mean: given(c, 'mean1'), logvar: given(c, 'logvar1') }
      return graphPlan(c, {
        kl: normalKl(p, { mean: given(c, 'mean2'), logvar: given(c, 'logvar2') }),
        kl_scalar: normalKl(p, { mean: 0, logvar: 0 }),
      })
    }),
    'learned_gaussian_diffusion.py discretized_gaussian_log_likelihood': adapter(
      record({}, { thres: withDefault(number(), 0.999), log_eps: withDefault(number(), 1e-15) }),
      ({ thres, log_eps }, c) =>
        graphPlan(c, {
          log_probs: pipe(
            { mean: given(c, 'means'), logScale: given(c, 'log_scales') },
            discretizedLogLikelihood(given(c, 'x'), { outermost: thres, least: log_eps }),
          ),
        }),
    ),
  },
  [
    { tensor: /./, measure: 'scaled', limit: 1e-5, subject: /discretized/ },
    { tensor: /./, measure: 'scaled', limit: 1e-6 },
  ],
)
