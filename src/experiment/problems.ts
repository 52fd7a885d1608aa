import { failure, type LatentError } from '../error.ts'

/** What a rule between fields of an experiment finds. */
export type Problems = readonly LatentError[]

export const problem = (at: string, expected: string, got: unknown, hint?: string): LatentError =>
  failure('config', at, expected, typeof got === 'string' ? got : JSON.stringify(got), hint)
export const unless = (holds: boolean, ...p: Parameters<typeof problem>): Problems => (holds ? [] : [problem(...p)])
