import { type Effect, effect } from '../error.ts'
import type { Half } from '../graph/types.ts'
import { E, TE } from '../prelude.ts'
import { halfArithmetic } from './half-arithmetic.ts'

/** What an engine makes of half precision, on any machine; undefined of one that is not in the table. */
export const arithmeticOf = (engine: string, dtype: Half) =>
  Object.entries(halfArithmetic).find(([name]) => name === engine)?.[1][dtype]

/** What an engine that computes half precision leaves to float32, whatever the processor: docs/decisions/0021. */
const leaves: Readonly<Record<string, string>> = { 'tfjs:node': 'products and convolutions on the CPU' }

/** How an engine computes half precision on this machine, in a line; undefined where that is the device's own. */
export const halfHere = (engine: string, dtype: Half): Effect<string | undefined> =>
  effect(async (run) => {
    const arithmetic = arithmeticOf(engine, dtype)
    if (arithmetic === 'simulates')
      return `${engine} computes ${dtype} in float32 and rounds: the same numbers, in more time than float32 takes`
    const left = leaves[engine]
    if (left !== undefined) return `${engine} computes ${dtype}, but ${left} in float32, rounded once`
    if (arithmetic !== 'by processor') return undefined
    const { costsFor } = await import('./onednn/costs.ts')
    const { halfPrecisions, saysHalf } = await import('./onednn/half.ts')
    const { library } = await import('./onednn/load.ts')
    const found = await run(TE.fromTask(library))
    if (E.isLeft(found)) return undefined
    const { right: lib } = found
    return `${engine}: ${saysHalf(dtype, halfPrecisions(lib, costsFor(lib))[dtype])}`
  })
