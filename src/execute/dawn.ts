import { reasonOf } from '../error.ts'
import { E, pipe, type Task, TE, t } from '../prelude.ts'
import type { Judgement } from './gpu.ts'
import { isSoftwareAdapter } from './software-adapter.ts'

interface Dawn {
  readonly create: (flags: readonly string[]) => {
    readonly requestAdapter: (options: { readonly powerPreference: 'high-performance' }) => Promise<unknown>
  }
}
const isDawn = (u: unknown): u is Dawn =>
  typeof u === 'object' && u !== null && 'create' in u && typeof u.create === 'function'
const adapter = t.type({ info: t.type({ vendor: t.string, description: t.string, isFallbackAdapter: t.boolean }) })

/** What an adapter of the npm package `webgpu` says of itself. Pure. */
export const judgeAdapter = (found: unknown): Judgement =>
  pipe(
    adapter.decode(found),
    E.match(
      (): Judgement => ({ kind: 'none', what: 'the npm package webgpu finds no adapter' }),
      ({ info: { vendor, description, isFallbackAdapter } }): Judgement =>
        isFallbackAdapter || isSoftwareAdapter(description)
          ? { kind: 'none', what: `a software adapter alone, ${description}` }
          : { kind: 'hardware', what: `${vendor} ${description}` },
    ),
  )

/** Asks the npm package `webgpu` (Dawn, as ONNX Runtime has), where it is installed. */
export const askDawn: Task<Judgement> = pipe(
  TE.tryCatch(async () => {
    const name: string = 'webgpu'
    const dawn: unknown = await import(name)
    return isDawn(dawn) ? dawn.create([]).requestAdapter({ powerPreference: 'high-performance' }) : null
  }, reasonOf),
  TE.match(
    (): Judgement => ({ kind: 'unknown', what: 'the npm package webgpu, which could tell, is not installed' }),
    judgeAdapter,
  ),
)
