/** Paths from data to noise, and the levels along them that samplers visit. */
export * from './levels.ts'
export * from './path.ts'
