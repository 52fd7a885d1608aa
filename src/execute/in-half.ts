import type { Half } from '../graph/types.ts'
import { precision } from '../transform/index.ts'
import type { Executor } from './executor.ts'

/** The executor, every graph compiled in mixed precision; what is fed and returned does not change. */
export const inHalf =
  (dtype: Half) =>
  ({ name, compile }: Executor): Executor => ({
    name: `${name} in ${dtype}`,
    compile: (graph, options) => compile(precision(dtype)(graph), options),
  })
