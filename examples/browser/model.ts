import * as lg from '../../src/browser.ts'
import { E, pipe, samplers } from '../../src/browser.ts'
import { patched } from './patches.ts'
import { classes } from './shapes.ts'

const timesteps = 1000

/** The U-Net sees 8 x 8 positions at its first level and half as many a side at each further one. */
const denoiserOf = (levels: number, labels: lg.Tensor) => {
  const network = lg.nn.unet('', {
    inChannels: patched[0],
    outChannels: patched[0],
    modelChannels: 32,
    channelMultipliers: Array.from({ length: levels }, (_, level) => 2 ** level),
    resBlocks: 1,
    attentionFactors: [2],
    attention: { kind: 'self', order: 'legacy' },
    heads: { by: 'count', count: 2 },
    resample: 'conv',
    scaleShiftNorm: false,
    dropout: 0,
    classes: classes.length,
    codebook: null,
  })
  return lg.diffusion.denoiser('x0', (xt, t) => network(xt, t, { y: labels }))
}

const schedule = lg.noiseSchedules.noiseSchedule({ kind: 'cosine', timesteps })

/** What a step is fed of the pictures. */
export const leaves = { pictures: 'pictures', labels: 'labels' } as const

/** One step of training: the loss, its gradient and Adam, as one graph. */
export const trainingGraph = ({
  steps,
  batchSize,
  levels,
}: {
  readonly steps: number
  readonly batchSize: number
  readonly levels: number
}): lg.Checked<lg.StepPlan> =>
  pipe(
    schedule,
    E.flatMap((noising) => {
      const x0 = lg.input(leaves.pictures, lg.float(batchSize, ...patched))
      const t = pipe(lg.noise('t', [batchSize], 'uniform'), lg.mul(timesteps), lg.floor, lg.cast('int32'))
      const denoise = denoiserOf(levels, lg.input(leaves.labels, lg.int(batchSize)))
      const loss = lg.diffusion.ddpmLoss(noising)(denoise, { x0, t, eps: lg.noise('eps', x0.shape) })
      return lg.trainingStep(loss, {
        steps,
        // Larger than what rounding makes of gradients that are 0: executors differ in it, and Adam would make steps of it.
        optimizer: { kind: 'adam', betas: [0.9, 0.99], eps: 1e-6, weightDecay: 0 },
        learningRate: { kind: 'warm-up-cosine', rate: 2e-3, warmUp: 5, floor: 0.1 },
      })
    }),
  )

export interface SamplingProgram {
  readonly graph: lg.Graph
  readonly plan: samplers.SamplingPlan
}
/** One step of DPM-Solver++ as a graph, and the way down that it goes. */
export const samplingGraph = ({
  count,
  steps,
  levels,
}: {
  readonly count: number
  readonly steps: number
  readonly levels: number
}): lg.Checked<SamplingProgram> =>
  pipe(
    schedule,
    E.map(lg.paths.discretePath),
    E.flatMap((path) => samplers.planWalk(samplers.dpmpp2m(), path, { kind: 'trailing', steps })),
    E.bindTo('plan'),
    E.bind('graph', ({ plan }) =>
      samplers.stepGraph(plan, denoiserOf(levels, lg.input(leaves.labels, lg.int(count))), {
        shape: [count, ...patched],
        keep: lg.diffusion.within(1),
      }),
    ),
  )
