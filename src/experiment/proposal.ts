/** A first experiment for pictures that nobody has trained on: what `latentgraph new` writes. */

/** What is known of the pictures. */
export interface PictureFacts {
  readonly n: number
  readonly classes: number
  /** What each picture has, and so what the model is told. */
  readonly told: 'none' | 'class' | 'text'
  /** Words of the longest caption. */
  readonly words: number
}

/** What is chosen for them and for the machine. */
export interface Choice {
  /** Pixels a side. */
  readonly size: Side
  /** Pictures of a step of diffusion; the first stage takes a quarter. */
  readonly batch: number
  readonly steps: Steps
}
export interface Steps {
  readonly firstStage: number
  readonly diffusion: number
}

/** How a side is coded: what the first stage halves, and how far the U-Net goes down on what it leaves. */
const networks = {
  16: { autoencoder: [1, 2], unet: [1, 2], attention: [2] },
  32: { autoencoder: [1, 2, 4], unet: [1, 2], attention: [2] },
  64: { autoencoder: [1, 2, 4], unet: [1, 2, 2], attention: [2, 4] },
  128: { autoencoder: [1, 2, 4, 4], unet: [1, 2, 2], attention: [2, 4] },
} as const satisfies Readonly<Record<number, object>>
export type Side = keyof typeof networks
/** In ascending order. */
export const sides = [16, 32, 64, 128] as const satisfies readonly Side[]

/** The largest side that enlarges no more than half of the pictures, given their shorter sides in ascending order. */
export const largestSide = (shorter: readonly number[]): Side => {
  const median = shorter[Math.floor(shorter.length / 2)] ?? 0
  return sides.findLast((side) => side <= median) ?? sides[0]
}

/** The largest power of two that is no more than a batch that suits many pictures, and than those there are to train on. */
export const batchFor = (n: number): number => 2 ** Math.floor(Math.log2(Math.min(32, Math.max(4, n))))

/** What so many pictures are learnt in, where time does not matter: few are learnt by heart sooner; texts tell more apart than classes. */
export const usualSteps = ({ n, told }: Pick<PictureFacts, 'n' | 'told'>): Steps => {
  const [firstStage, diffusion] = n < 200 ? [2000, 2000] : n < 1000 ? [3000, 2400] : [4000, 3000]
  return { firstStage, diffusion: told === 'text' ? 2 * diffusion : diffusion }
}

/** Steps in hundreds, so that the whole of them takes a time, given what each takes; not below a quarter of those that are usual. */
export const stepsWithin = (seconds: number, usual: Steps, pace: Steps): Steps => {
  const whole = usual.firstStage * pace.firstStage + usual.diffusion * pace.diffusion
  const share = whole === 0 ? 1 : Math.min(1, Math.max(1 / 4, seconds / whole))
  const hundreds = (steps: number): number => Math.max(100, 100 * Math.floor((steps * share) / 100))
  return { firstStage: hundreds(usual.firstStage), diffusion: hundreds(usual.diffusion) }
}

const stage = (steps: number, batchSize: number, parallel: boolean) => ({
  steps,
  batchSize,
  ...(parallel && batchSize % 2 === 0 ? { microBatches: 2 } : {}),
})
const looks = (steps: number) => {
  const quarter = Math.max(1, Math.ceil(steps / 4))
  return { previewEvery: quarter, checkpointEvery: quarter, validate: { every: quarter } }
}
const rate = (of: number) => ({ kind: 'warm-up-cosine', rate: of, warmUp: 50 })

/** Width of the text transformer's states. */
const width = 128
const conditions = {
  none: () => ({ kind: 'none' }),
  class: () => ({ kind: 'class', dropout: 0.1 }),
  text: (words: number) => ({
    kind: 'text',
    dropout: 0.1,
    vocabulary: 2048,
    positions: Math.min(77, Math.max(8, Math.ceil(1.5 * words) + 2)),
    width,
    layers: 2,
    heads: 4,
  }),
}
const guidance = { none: 1, class: 2.5, text: 1.5 }
/** Samples are shown a row a class, and of texts so many beside what is true. */
const perClass = ({ classes, told }: PictureFacts): number =>
  told === 'none' ? 16 : told === 'class' && classes > 16 ? 4 : 8

/** The document of an experiment; `data` names the pictures, but not their size. */
export const proposedDocument = (
  { name, schema, data }: { readonly name: string; readonly schema: string; readonly data: object },
  facts: PictureFacts,
  { size, batch, steps }: Choice,
  parallel: boolean,
): object => {
  const { autoencoder, unet, attention } = networks[size]
  return {
    $schema: schema,
    name,
    seed: 1,
    data: { ...data, size },
    firstStage: {
      kind: 'kl',
      network: {
        ...{ inChannels: 3, outChannels: 3, resolution: size, channels: 16, channelMultipliers: autoencoder },
        ...{ resBlocks: 1, attention: 'none', zChannels: 4, latentChannels: 4, normGroups: 8 },
      },
      loss: { pixel: 'l2', klWeight: 0.002 },
      training: {
        ...stage(steps.firstStage, Math.max(2, batch / 4), parallel),
        optimizer: { kind: 'adam', betas: [0.9, 0.99] },
        learningRate: rate(0.002),
        ...looks(steps.firstStage),
      },
    },
    diffusion: {
      schedule: { kind: 'scaled-linear', timesteps: 1000, betaStart: 0.0015, betaEnd: 0.0155 },
      predicts: 'v',
      unet: {
        ...{ inChannels: 4, outChannels: 4, modelChannels: 64, channelMultipliers: unet, resBlocks: 1 },
        attentionFactors: attention,
        heads: { by: 'channels', channels: 32 },
        ...(facts.told === 'text' ? { attention: { kind: 'transformer', contextDim: width } } : {}),
      },
      conditioning: conditions[facts.told](facts.words),
      training: {
        ...stage(steps.diffusion, batch, parallel),
        optimizer: { kind: 'adamw', betas: [0.9, 0.99] },
        learningRate: rate(facts.told === 'text' ? 0.001 : 0.0015),
        emaDecay: 0.998,
        ...looks(steps.diffusion),
      },
    },
    sampling: {
      sampler: 'dpm++-2m-sde',
      steps: 25,
      spacing: 'karras',
      guidance: guidance[facts.told],
      perClass: perClass(facts),
    },
  }
}
