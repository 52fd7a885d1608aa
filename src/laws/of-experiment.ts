import fc from 'fast-check'
import type { Checked } from '../error.ts'
import type { Diffusion, Experiment, FirstStage } from '../experiment/document.ts'
import { processOf } from '../experiment/process.ts'
import { type SamplerName, type Sampling, samplerOf } from '../experiment/sampling.ts'
import type { Training } from '../experiment/training.ts'
import { E, pipe } from '../prelude.ts'
import { noiseSchedule } from '../schedulers/noise-schedule.ts'
import { adversarialLaws } from './adversarial.ts'
import { forwardLaws } from './diffusion.ts'
import { guidanceLaws } from './guidance.ts'
import type { Law } from './law.ts'
import { autoencoderLaws, objectiveLaws } from './losses.ts'
import { optimizerLaws } from './optimizers.ts'
import { ownGradientLaws } from './own-gradient.ts'
import { quantiserLaws } from './quantisers.ts'
import { convergenceLaw, halves, samplerLaws } from './samplers.ts'
import { formulaLaws } from './schedules.ts'
import { walksAlong } from './walks.ts'

/** The laws that the parts of an experiment are held to, by part. */
export interface Part {
  readonly name: string
  readonly laws: readonly Law[]
}

/** Samplers that take no exact steps even where predictions do not change: consistency models', and grids of their own. */
const inexact: readonly SamplerName[] = ['lcm', 'dpm-fast']
/** Those whose noise stays even where they are asked for none, or whose walk goes back. */
const noisy: readonly SamplerName[] = ['ddpm', 'lcm', 'repaint', 'renoise']
const isExact = (s: Sampling): boolean => !inexact.includes(s.sampler) && !('integrand' in s && s.integrand === 'eps')
const isSilent = (s: Sampling): boolean =>
  !noisy.includes(s.sampler) && !('eta' in s && s.eta > 0) && !('churn' in s && s.churn > 0)

/** Without the noise that it could do without: what is left of it converges to the probability flow. */
const silenced = (s: Sampling): Sampling =>
  'eta' in s && s.eta > 0 ? { ...s, eta: 0 } : 'churn' in s && s.churn > 0 ? { ...s, churn: 0 } : s

const samplerPart = (diffusion: Diffusion, sampling: Sampling): Checked<Part> =>
  pipe(
    E.Do,
    E.bind('process', () => processOf(diffusion.schedule)),
    E.bind('sampler', () => samplerOf(sampling)),
    E.bind('silent', () => samplerOf(silenced(sampling))),
    E.map(({ process: { path }, sampler, silent }) => {
      const quiet = { ...silent, name: `${silent.name} without noise` }
      const along = walksAlong(fc.constant(path), ['trailing', 'linspace', 'karras', 'exponential'])
      return {
        name: `sampler ${sampling.sampler}, along this schedule`,
        laws: [
          ...(isExact(sampling) ? samplerLaws(sampler, along) : [halves(sampler, along)]),
          ...(isSilent(silenced(sampling)) ? [convergenceLaw(isSilent(sampling) ? sampler : quiet)] : []),
        ],
      }
    }),
  )

/** So few timesteps that the terms of the bound can be summed. */
const summed = 12
const scheduleParts = ({ schedule }: Diffusion): Checked<readonly Part[]> =>
  schedule.kind === 'flow'
    ? E.right([])
    : pipe(
        E.Do,
        E.bind('whole', () => noiseSchedule(schedule)),
        E.bind('few', () => noiseSchedule({ ...schedule, zeroTerminalSnr: false, timesteps: summed })),
        E.map(({ whole, few }) => [
          {
            name: `schedule ${schedule.kind}, ${whole.timesteps} timesteps`,
            laws: [...formulaLaws(schedule, whole), ...forwardLaws(fc.constant(whole))],
          },
          { name: `objective, on ${summed} timesteps of this schedule`, laws: objectiveLaws(fc.constant(few)) },
        ]),
      )

const optimizerPart = (stage: string, { optimizer, clipNorm, emaDecay }: Training): Part => ({
  name: `optimiser ${optimizer.kind} of the ${stage}`,
  laws: optimizerLaws.filter(
    ({ about }) =>
      about === optimizer.kind ||
      (about === 'clipNorm' && clipNorm !== undefined) ||
      (about === 'emaDecay' && emaDecay !== undefined),
  ),
})

const firstStageParts = (stage: FirstStage): readonly Part[] => [
  { name: `loss of the first stage, ${stage.kind}`, laws: autoencoderLaws[stage.kind] },
  ...(stage.kind === 'vq' ? [{ name: `quantiser ${stage.quantizer.kind}`, laws: quantiserLaws }] : []),
  ...(stage.adversarial === undefined ? [] : [{ name: 'discriminator', laws: adversarialLaws }]),
  optimizerPart('first stage', stage.training),
]

const diffusionParts = (diffusion: Diffusion, sampling: Sampling): Checked<readonly Part[]> =>
  pipe(
    E.Do,
    E.bind('schedule', () => scheduleParts(diffusion)),
    E.bind('sampler', () => samplerPart(diffusion, sampling)),
    E.map(({ schedule, sampler }) => [
      ...schedule,
      sampler,
      ...(diffusion.conditioning.kind === 'none' ? [] : [{ name: 'guidance', laws: guidanceLaws }]),
      optimizerPart('diffusion model', diffusion.training),
    ]),
  )

/**
 * Every law that speaks of a part which an experiment has: schedule, objective, sampler, guidance, losses, quantiser, discriminator,
 * optimisers. Errors (`config`): a schedule that cannot be.
 */
export const experimentLaws = (e: Experiment): Checked<readonly Part[]> =>
  pipe(
    e.diffusion === undefined ? E.right([]) : diffusionParts(e.diffusion, e.sampling),
    E.map((parts) => [...parts, ...(e.firstStage.kind === 'identity' ? [] : firstStageParts(e.firstStage))]),
    E.bindTo('parts'),
    E.bind('gradients', () => ownGradientLaws(e)),
    E.map(({ parts, gradients }) => [
      ...parts,
      ...(gradients.length === 0 ? [] : [{ name: 'networks, shrunk to small pictures', laws: gradients }]),
    ]),
  )
