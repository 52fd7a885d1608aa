import type { Errors } from '../../error.ts'
import { E, type Task } from '../../prelude.ts'
import { askDawn } from '../dawn.ts'
import type { Found } from '../decide.ts'
import { type GpuFacts, gpuFacts, type Judgement, judgeGpu } from '../gpu.ts'
import { probe } from './available.ts'

/** ONNX Runtime does not say what its WebGPU adapter is, so the system is asked, and where that has no answer Dawn itself. */
export const realAdapter: Task<Found> = async () => {
  const { kind, what } = await judge(await gpuFacts())
  if (kind !== 'hardware') return { usable: false, what }
  const session = await probe()
  return E.isRight(session)
    ? { usable: true, what: `a GPU: ${what}` }
    : { usable: false, what: `${what}, but ${reasonIn(session.left)}` }
}
const reasonIn = ([{ got }]: Errors): string => got

const judge = async (facts: GpuFacts): Promise<Judgement> => {
  const own = judgeGpu(facts)
  if (own.kind !== 'unknown') return own
  const asked = await askDawn()
  return asked.kind === 'unknown' ? { kind: 'unknown', what: `${own.what}; ${asked.what}` } : asked
}
