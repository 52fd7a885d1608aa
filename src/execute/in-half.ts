import type { Half } from '../graph/types.ts'
import { precision } from '../transform/index.ts'
import type { Executor } from './executor.ts'
import { explainAs } from './explain.ts'

/** The executor, every graph compiled in mixed precision; what is fed and returned does not change. */
export const inHalf =
  (dtype: Half) =>
  (engine: Executor): Executor => ({
    name: `${engine.name} in ${dtype}`,
    compile: (graph, options) => engine.compile(precision(dtype)(graph), options),
    ...explainAs(engine, precision(dtype)),
  })
