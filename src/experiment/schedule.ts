import { mostTimesteps, noiseScheduleDefaults } from '../schedulers/noise-schedule.ts'
import { about, type Decoded, describedRecord, describedTagged, flag, integer, number, withDefault } from '../schema.ts'

/** How data turn into noise, as an experiment declares it. */

const defaults = noiseScheduleDefaults
/** Above what 1 - beta in float64 rounds away. */
const variance = number({ min: 1e-10, below: 1 })
const ends = {
  betaStart: about(
    'Variance of the noise that the first timestep adds; the least that pictures ever have.',
    withDefault(variance, defaults.betaStart),
  ),
  betaEnd: about(
    'Variance of the noise that the last timestep adds; more of it leaves less of the picture at the end.',
    withDefault(variance, defaults.betaEnd),
  ),
}
const common = {
  timesteps: about(
    'How many steps lead from data to noise; samplers visit as few of them as they are asked to. 1000 everywhere.',
    withDefault(integer({ min: 2, max: mostTimesteps }), 1000),
  ),
  shift: about(
    'What sigma / alpha is multiplied by: the ratio of sides, for latents larger than those that the schedule suits (Hoogeboom et al. 2023). More of it spends more steps on noise.',
    withDefault(number({ min: 0.01, max: 100 }), defaults.shift),
  ),
}
const discrete = {
  ...common,
  zeroTerminalSnr: about(
    'Whether the last timestep is all noise (Lin et al. 2024), so that pictures may be very dark or bright; it asks for another prediction than "eps", such as "v".',
    withDefault(flag, defaults.zeroTerminalSnr),
  ),
}
const logSnr = number({ min: -30, max: 30 })
const between = number({ min: -20, max: 20 })

export const noiseSchedule = describedTagged('kind', {
  linear: about(
    'beta rises in a straight line, as in DDPM (Ho et al. 2020).',
    describedRecord({}, { ...discrete, ...ends }),
  ),
  'scaled-linear': about(
    "sqrt(beta) rises in a straight line: latent diffusion and Stable Diffusion, called linear in CompVis' code (Rombach et al. 2022).",
    describedRecord({}, { ...discrete, ...ends }),
  ),
  sqrt: about(
    "beta is the root of a straight line, as CompVis' code offers it.",
    describedRecord({}, { ...discrete, ...ends }),
  ),
  cosine: about(
    'alpha-bar is a squared cosine, which leaves small pictures more of their content on the way (Nichol and Dhariwal 2021).',
    describedRecord(
      {},
      {
        ...discrete,
        offset: about(
          'How far from 0 the cosine begins, so that the first noise is not too little.',
          withDefault(number({ min: 1e-6, max: 1 }), defaults.offset),
        ),
      },
    ),
  ),
  sigmoid: about(
    'alpha-bar is a part of a sigmoid (Jabri et al. 2023), steadier than a cosine for large pictures.',
    describedRecord(
      {},
      {
        ...discrete,
        start: about('Where on the sigmoid the data are.', withDefault(between, defaults.start)),
        end: about('Where on the sigmoid the noise is.', withDefault(between, defaults.end)),
        temperature: about(
          'What divides the places on the sigmoid; less of it makes the middle steeper.',
          withDefault(number({ min: 0.01, max: 100 }), defaults.temperature),
        ),
      },
    ),
  ),
  'sigmoid-beta': about(
    'beta rises by a sigmoid, as diffusers\' "sigmoid".',
    describedRecord({}, { ...discrete, ...ends }),
  ),
  'cosine-log-snr': about(
    'A cosine between two log SNRs (Kingma et al. 2021, Hoogeboom et al. 2023).',
    describedRecord(
      {},
      {
        ...discrete,
        logSnrMin: about('log SNR of the last timestep: the noise.', withDefault(logSnr, defaults.logSnrMin)),
        logSnrMax: about('log SNR of the first timestep: the data.', withDefault(logSnr, defaults.logSnrMax)),
      },
    ),
  ),
  flow: about(
    'Rectified flow: x_t = (1 - s) x_0 + s eps at real times t = T s (Liu et al. 2023), where timesteps is T alone; it asks for another prediction than "eps", such as "flow".',
    describedRecord({}, common),
  ),
})
export type Schedule = Decoded<typeof noiseSchedule>
