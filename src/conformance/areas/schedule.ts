import { type Checked, fail } from '../../error.ts'
import { floats, ints, type Value, type Values } from '../../execute/executor.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { compVisDdimValues, compVisScheduleValues } from '../../schedulers/compvis.ts'
import type { Column } from '../../schedulers/noise-schedule.ts'
import { flag, integer, list, number, record, text } from '../../schema.ts'
import { adapter, area, type Plan } from '../plan.ts'

export const column = (xs: Column): Value => floats([xs.length], Float64Array.from(xs))
export const wholeNumbers = (xs: Column): Value => ints([xs.length], Int32Array.from(xs))

/** Pure numbers: no executor takes part. */
export const numbersOnly = (values: Values): Plan => ({ kind: 'effect', run: () => TE.right(values) })

export const scheduleConfig = {
  beta_schedule: text,
  timesteps: integer(),
  linear_start: number(),
  linear_end: number(),
  cosine_s: number(),
  v_posterior: number(),
} as const

export type CompVisScheduleConfig = { readonly [K in keyof typeof scheduleConfig]?: (typeof scheduleConfig)[K]['_A'] }

const ddimCase = record(
  { S: integer(), T: integer(), method: text, eta: number(), index: integer(), ok: flag },
  {},
  { dtypes: list(text), error: text },
)

/** Between float32's denormal numbers, which `sqrt` at T = 1000 reaches. */
const denormalStep = 1.5e-45
/** Two steps of float64 near 1: what a cosine rounded otherwise leaves in 1 - x. */
const stepsNearOne = 2 * Number.EPSILON

export const schedule = area(
  {
    'util.py make_beta_schedule': adapter(record({}, {}, scheduleConfig), (config) =>
      pipe(
        compVisScheduleValues(config),
        E.map((columns) =>
          numbersOnly(Object.fromEntries(Object.entries(columns).map(([name, xs]) => [`out.${name}`, column(xs)]))),
        ),
      ),
    ),
    'util.py make_ddim_timesteps': adapter(
      record({ cases: list(ddimCase) }, {}, scheduleConfig),
      ({ cases, ...config }) =>
        pipe(
          cases,
          E.traverseArray(
            ({ index, ok, ...ddim }): Checked<Values> =>
              pipe(
                compVisDdimValues(config, ddim),
                E.flatMap(({ timesteps, parameters }): Checked<Values> => {
                  const visited = { [`out.${index}.timesteps`]: wholeNumbers(timesteps) }
                  if (E.isLeft(parameters)) return ok ? parameters : E.right(visited)
                  if (!ok)
                    return fail('data', `case ${index}`, 'timesteps past the last, which the reference refuses', 'none')
                  const { alphas, alphasPrev, sigmas } = parameters.right
                  return E.right({
                    ...visited,
                    [`out.${index}.alphas`]: column(alphas),
                    [`out.${index}.alphas_prev`]: column(alphasPrev),
                    [`out.${index}.sigmas`]: column(sigmas),
                  })
                }),
              ),
          ),
          E.map((all) => numbersOnly(Object.assign({}, ...all))),
        ),
    ),
  },
  [
    { tensor: /timesteps$/, measure: 'exact', limit: 0 },
    { tensor: /^out\.f64\.|sigmas$/, measure: 'elementwise', limit: 1e-11, room: stepsNearOne },
    { tensor: /lvlb_weights/, measure: 'elementwise', limit: 1e-6, room: denormalStep },
    { tensor: /./, measure: 'elementwise', limit: 2e-7, room: denormalStep },
  ],
)
