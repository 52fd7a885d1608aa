export * from './constructors.ts'
export * from './derived.ts'
export * from './freeze.ts'
export * from './tensor.ts'
