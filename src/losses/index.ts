export * from './kl-autoencoder.ts'
export * from './reconstruction.ts'
