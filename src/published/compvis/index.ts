export type { Encoder, TextState } from './conditioning.ts'
export * from './model.ts'
export type { OriginalProcess } from './process.ts'
export * from './write.ts'
