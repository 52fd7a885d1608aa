export * from './diffusion-objective.ts'
export * from './kl-autoencoder.ts'
export * from './reconstruction.ts'
