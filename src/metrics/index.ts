export * from './frechet.ts'
export * from './kernel-distance.ts'
export * from './manifold.ts'
export * from './points.ts'
