import { availableParallelism } from 'node:os'
import { type Checked, fail } from '../../error.ts'
import { E } from '../../prelude.ts'

const variable = 'LATENTGRAPH_THREADS'
const asked = (): string => process.env[variable] ?? ''

/**
 * Threads of the CPU runtime where nobody asks for a number: `LATENTGRAPH_THREADS`, or as many as the processor has for this process.
 * Threads wait for each other by spinning, so that more than there are cores to be had make a step several times slower.
 */
export const threadsHere = (): number => (/^[1-9]\d{0,3}$/.test(asked()) ? Number(asked()) : availableParallelism())

/** Whether the variable, where it is set, is such a number. Errors: `compile`. */
export const checkThreads = (): Checked<void> =>
  asked() === '' || /^[1-9]\d{0,3}$/.test(asked())
    ? E.right(undefined)
    : fail('compile', variable, 'a whole number from 1 to 9999', JSON.stringify(asked()))
