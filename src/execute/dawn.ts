import { reasonOf } from '../error.ts'
import { pipe, type Task, TE } from '../prelude.ts'
import type { Judgement } from './gpu.ts'
import { describeAdapter, gpuOfDawn } from './webgpu.ts'

/** What an adapter of the npm package `webgpu` says of itself. Pure. */
export const judgeAdapter = (found: unknown): Judgement => {
  const adapter = describeAdapter(found)
  return adapter === undefined
    ? { kind: 'none', what: 'the npm package webgpu finds no adapter' }
    : adapter.hardware
      ? { kind: adapter.description === '' ? 'unknown' : 'hardware', what: adapter.description }
      : { kind: 'none', what: `a software adapter alone, ${adapter.description}` }
}

/** Asks the npm package `webgpu` (Dawn, as ONNX Runtime has), where it is installed. */
export const askDawn: Task<Judgement> = pipe(
  TE.tryCatch(async () => {
    const name: string = 'webgpu'
    return gpuOfDawn(await import(name))?.requestAdapter({ powerPreference: 'high-performance' })
  }, reasonOf),
  TE.match(
    (): Judgement => ({ kind: 'unknown', what: 'the npm package webgpu, which could tell, is not installed' }),
    judgeAdapter,
  ),
)
