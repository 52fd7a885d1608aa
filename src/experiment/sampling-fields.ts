import { thresholdDefaults } from '../diffusion/keep.ts'
import { repaintDefaults } from '../samplers/index.ts'
import { spacings } from '../schedulers/levels.ts'
import { mostTimesteps } from '../schedulers/noise-schedule.ts'
import { about, describedRecord, describedTagged, integer, list, number, withDefault, word } from '../schema.ts'

/** What each sampler reads of an experiment's `sampling`. */

const share = number({ min: 0, max: 1 })
const steps = integer({ min: 1, max: mostTimesteps })

/** Guidance as it is where nothing changes it. */
export const unguidedDefaults = { guidanceRescale: 0, guidanceInterval: [0, 1], guidanceSchedule: 'constant' } as const
const common = {
  spacing: about(
    'Where along the path the network is asked. Times: "trailing" down from all noise, "leading" up from the data, "linspace" evenly; "uniform" and "quad" as CompVis\' code has them. Noise levels: "karras" (Karras et al. 2022), "exponential", "beta" (Lee et al. 2024) and "log-snr" (Lu et al. 2022), which spend more steps on little noise.',
    withDefault(word(spacings), 'trailing'),
  ),
  guidance: about(
    'Scale of classifier-free guidance (Ho and Salimans 2022): 1 is the conditional model, more follows the condition more closely, with less variety and two calls a step; 2 to 8 are usual.',
    withDefault(number({ min: 0, max: 1000 }), 1),
    4,
  ),
  guidanceRescale: about(
    "How far guided predictions are brought back to the conditional ones' standard deviation (Lin et al. 2024, equation 16), against garish colours: 0 not, 1 wholly.",
    withDefault(share, unguidedDefaults.guidanceRescale),
    0.7,
  ),
  guidanceInterval: about(
    'Between which times there is guidance, as shares of the path: 0 the data, 1 all noise (Kynkäänniemi et al. 2024). Steps outside it cost one call.',
    withDefault(list(share, { min: 2, max: 2 }), unguidedDefaults.guidanceInterval),
    [0.1, 0.8],
  ),
  guidanceSchedule: about(
    'How guidance changes along the path, of the same mean: "linear" and "cosine" rise towards the data, up to twice as much (Wang et al. 2024).',
    withDefault(word(['constant', 'linear', 'cosine']), unguidedDefaults.guidanceSchedule),
  ),
  keep: about(
    'Where predictions of x_0 are kept.',
    withDefault(
      describedTagged('kind', {
        all: about('Anywhere: as the network says them.', describedRecord({})),
        within: about(
          'Within a range around 0: what is beyond it becomes its end.',
          describedRecord(
            {},
            {
              range: about(
                'The range is from minus this to this; pictures lie within 1, latents about within 4.',
                withDefault(number({ min: 1e-3, max: 1e6 }), 1),
              ),
            },
          ),
        ),
        dynamic: about(
          'By dynamic thresholding (Saharia et al. 2022): each picture is scaled down where much of it is beyond 1, against saturation under strong guidance.',
          describedRecord(
            {},
            {
              share: about(
                'Share of the numbers of a picture that stay as they are; the rest is cut.',
                withDefault(number({ min: 0.5, max: 1 }), thresholdDefaults.share),
              ),
              most: about('The threshold at most.', withDefault(number({ min: 1, max: 1e6 }), thresholdDefaults.most)),
            },
          ),
        ),
      }),
      { kind: 'all' },
    ),
  ),
  perClass: about(
    'Pictures of each class, or in all where there are no classes.',
    withDefault(integer({ min: 1, max: 1000 }), 8),
  ),
}
const stepped = {
  ...common,
  steps: about(
    'Steps from noise to picture, each one call of the network or two as the sampler has it; more come nearer to the exact path, up to about 50.',
    withDefault(steps, 25),
  ),
}
const eta = (fallback: number) => ({
  eta: about(
    'How much fresh noise each step draws: 0 none, so that the same noise gives the same picture, 1 as much as the reverse process has.',
    withDefault(share, fallback),
  ),
})
const churn = {
  churn: about(
    'Noise that is added before steps, over the whole walk (Karras et al. 2022, S_churn); 0 for none, more corrects errors of earlier steps and needs more steps.',
    withDefault(number({ min: 0, max: 1000 }), 0),
  ),
}
const integrand = {
  integrand: about(
    'What is taken for a polynomial: predictions of x_0 (DPM-Solver++), which guidance needs, or of eps (DPM-Solver).',
    withDefault(word(['x0', 'eps']), 'x0'),
  ),
}
const order = (most: number, fallback: number) => ({
  order: about(
    'How many predictions a step is made of: higher is more exact with many steps, and less steady with few.',
    withDefault(integer({ min: 1, max: most }), fallback),
  ),
})

export const samplerFields = {
  ddim: about(
    'First order; deterministic at eta 0 (Song et al. 2021).',
    describedRecord({}, { ...stepped, ...eta(0) }),
  ),
  ddpm: about(
    'Ancestral sampling, with fresh noise at each step (Ho et al. 2020).',
    describedRecord(
      {},
      {
        ...common,
        variance: about(
          'Variance of the noise of a step: "small" is that of the posterior, beta~, "large" that of the forward step, beta; "learned" is what the network says between both.',
          withDefault(word(['small', 'large', 'learned']), 'small'),
        ),
      },
      { steps: about('Steps from noise to picture; all timesteps where left out.', steps, 250) },
    ),
  ),
  plms: about(
    'A linear multistep method of four predictions, with which Stable Diffusion came (Liu et al. 2022).',
    describedRecord({}, stepped),
  ),
  euler: about("Euler's method over noise levels (Karras et al. 2022).", describedRecord({}, { ...stepped, ...churn })),
  'euler-ancestral': about(
    "Euler's method, with fresh noise at each step.",
    describedRecord({}, { ...stepped, ...eta(1) }),
  ),
  heun: about(
    "Heun's method of second order, two calls a step (Karras et al. 2022).",
    describedRecord({}, { ...stepped, ...churn }),
  ),
  'dpm-2': about(
    'DPM-Solver-2, two calls a step (Lu et al. 2022), as k-diffusion has it.',
    describedRecord({}, { ...stepped, ...churn }),
  ),
  'dpm-2-ancestral': about(
    'DPM-Solver-2 with fresh noise at each step, two calls a step.',
    describedRecord({}, { ...stepped, ...eta(1) }),
  ),
  lms: about(
    'A linear multistep method over noise levels, as k-diffusion has it.',
    describedRecord({}, { ...stepped, ...order(4, 4) }),
  ),
  'dpm++-2m': about(
    'DPM-Solver++ of the last two predictions (Lu et al. 2022): good pictures in 20 to 30 steps of one call.',
    describedRecord({}, stepped),
  ),
  'dpm++-2m-sde': about(
    'DPM-Solver++ of the last two predictions along the reverse SDE.',
    describedRecord(
      {},
      {
        ...stepped,
        ...eta(1),
        secondOrder: about(
          'How the second prediction comes in: by the midpoint, or as Heun does.',
          withDefault(word(['midpoint', 'heun']), 'midpoint'),
        ),
      },
    ),
  ),
  'dpm++-3m-sde': about(
    'DPM-Solver++ of the last three predictions along the reverse SDE.',
    describedRecord({}, { ...stepped, ...eta(1) }),
  ),
  'dpm++-2s-ancestral': about(
    'DPM-Solver++ of second order in single steps of two calls, with fresh noise.',
    describedRecord({}, { ...stepped, ...eta(1) }),
  ),
  'dpm++-sde': about(
    'DPM-Solver++ in single steps of two calls along the reverse SDE.',
    describedRecord({}, { ...stepped, ...eta(1) }),
  ),
  'dpm-multistep': about(
    "DPM-Solver in its multistep forms, as diffusers' DPMSolverMultistepScheduler (Lu et al. 2022).",
    describedRecord({}, { ...stepped, ...integrand, ...eta(0), ...order(3, 2) }),
  ),
  'dpm-singlestep': about(
    "DPM-Solver in its single-step forms, as diffusers' DPMSolverSinglestepScheduler (Lu et al. 2022).",
    describedRecord({}, { ...stepped, ...integrand, ...eta(0), ...order(3, 2) }),
  ),
  'dpm-fast': about(
    'DPM-Solver of third order, whose calls in all are the steps that are asked for, as k-diffusion has it.',
    describedRecord({}, { ...stepped, ...eta(0) }),
  ),
  unipc: about(
    'A predictor whose steps are corrected by the next prediction at no further call (Zhao et al. 2023): good pictures in 10 steps.',
    describedRecord(
      {},
      {
        ...stepped,
        ...order(3, 2),
        variant: about(
          'The function B(h) of the paper: "bh1" for few steps without guidance, "bh2" otherwise.',
          withDefault(word(['bh1', 'bh2']), 'bh2'),
        ),
      },
    ),
  ),
  deis: about(
    'A multistep method whose polynomial is over time (Zhang and Chen 2023).',
    describedRecord({}, { ...stepped, ...order(3, 2) }),
  ),
  lcm: about(
    'For latent consistency models (Luo et al. 2023): to the data and back to less noise, in few steps.',
    describedRecord({}, stepped),
  ),
  repaint: about(
    'DDPM that takes steps back again and again, so that what is drawn fits what is known (Lugmayr et al. 2022); for masks.',
    describedRecord(
      {},
      {
        ...stepped,
        ...eta(repaintDefaults.eta),
        jump: about(
          'How many steps are taken back, to be taken again.',
          withDefault(integer({ min: 1, max: 1000 }), repaintDefaults.jump),
        ),
        resample: about(
          'How often each part of the walk is walked: so many times the calls in all.',
          withDefault(integer({ min: 1, max: 100 }), repaintDefaults.resample),
        ),
      },
    ),
  ),
  renoise: about(
    'For consistency models (Song et al. 2023): to the data, and noised again to the next level.',
    describedRecord({}, stepped),
  ),
  own: about(
    'The sampler of the program which defined the experiment (defineExperiment); in no file of your own.',
    describedRecord({}, stepped),
  ),
} as const
