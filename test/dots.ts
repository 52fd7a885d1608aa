/** Diffusion on generated pictures of 16 pixels by a network as small as can be: what tests train when any run will do. */
export const dots = {
  name: 'dots',
  executor: 'onnx:cpu',
  data: { kind: 'shapes', size: 16, count: 24, heldOut: 4 },
  firstStage: { kind: 'identity' },
  diffusion: {
    schedule: { kind: 'cosine', timesteps: 20 },
    unet: {
      inChannels: 3,
      outChannels: 3,
      modelChannels: 32,
      channelMultipliers: [1],
      resBlocks: 1,
      attentionFactors: [],
      heads: { by: 'channels', channels: 32 },
    },
  },
  sampling: { sampler: 'ddim', steps: 3, perClass: 2 },
} as const
