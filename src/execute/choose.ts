import type { Effect } from '../error.ts'
import { pipe, TE } from '../prelude.ts'
import { auto, type Choice, executorByName } from './auto.ts'
import { ready } from './ready.ts'

/** The executor that an experiment or a person names; an error before anything else where it cannot run here. */
export const chooseExecutor = (name: string): Effect<Choice> =>
  name === 'auto'
    ? pipe(
        auto,
        TE.map(({ executor }) => ({ executor, reason: 'npx latentgraph doctor says why' })),
      )
    : pipe(
        executorByName(name),
        TE.chain(ready),
        TE.map((executor) => ({ executor, reason: 'as asked for' })),
      )
