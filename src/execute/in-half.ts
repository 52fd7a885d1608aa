import { precision } from '../transform/index.ts'
import type { Executor } from './executor.ts'

/** The executor, every graph compiled in mixed precision; what is fed and returned does not change. */
export const inHalf = ({ name, compile }: Executor): Executor => ({
  name: `${name} in float16`,
  compile: (graph, options) => compile(precision(graph), options),
})
