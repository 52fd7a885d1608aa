import { mostTimesteps, noiseScheduleDefaults } from '../schedulers/noise-schedule.ts'
import { type Decoded, flag, integer, number, record, tagged, withDefault } from '../schema.ts'

/** How data turn into noise, as an experiment declares it. */

const defaults = noiseScheduleDefaults
/** Above what 1 - beta in float64 rounds away. */
const variance = number({ min: 1e-10, below: 1 })
const ends = { betaStart: withDefault(variance, defaults.betaStart), betaEnd: withDefault(variance, defaults.betaEnd) }
const common = {
  timesteps: withDefault(integer({ min: 2, max: mostTimesteps }), 1000),
  /** sigma / alpha is multiplied by it: the ratio of sides, for latents larger than those that the schedule suits. */
  shift: withDefault(number({ min: 0.01, max: 100 }), defaults.shift),
}
const discrete = {
  ...common,
  /** The last timestep is all noise (Lin et al. 2024). */
  zeroTerminalSnr: withDefault(flag, defaults.zeroTerminalSnr),
}
const logSnr = number({ min: -30, max: 30 })

export const noiseSchedule = tagged('kind', {
  linear: record({}, { ...discrete, ...ends }),
  'scaled-linear': record({}, { ...discrete, ...ends }),
  sqrt: record({}, { ...discrete, ...ends }),
  cosine: record({}, { ...discrete, offset: withDefault(number({ min: 1e-6, max: 1 }), defaults.offset) }),
  sigmoid: record(
    {},
    {
      ...discrete,
      start: withDefault(number({ min: -20, max: 20 }), defaults.start),
      end: withDefault(number({ min: -20, max: 20 }), defaults.end),
      temperature: withDefault(number({ min: 0.01, max: 100 }), defaults.temperature),
    },
  ),
  'sigmoid-beta': record({}, { ...discrete, ...ends }),
  'cosine-log-snr': record(
    {},
    {
      ...discrete,
      logSnrMin: withDefault(logSnr, defaults.logSnrMin),
      logSnrMax: withDefault(logSnr, defaults.logSnrMax),
    },
  ),
  /** Rectified flow: x_t = (1 - s) x_0 + s eps at real times t = T s (Liu et al. 2023); `timesteps` is T alone. */
  flow: record({}, common),
})
export type Schedule = Decoded<typeof noiseSchedule>
