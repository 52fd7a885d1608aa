import type { Effect } from '../../error.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { assemble } from './assemble.ts'
import { computesHalf } from './half-support.ts'
import { type NativeRuntime, runtime } from './native.ts'
import { createSession } from './session.ts'
import { call, leaf } from './value.ts'

/** What ONNX Runtime offers on this machine. */
export interface Available {
  readonly version: string
  readonly providers: NativeRuntime['providers']
  /** `half` where the adapter computes in float16. */
  readonly webgpu:
    | { readonly usable: true; readonly half: boolean }
    | { readonly usable: false; readonly reason: string }
}

/** A model of one op: whether it can be made says whether there is an adapter. */
const smallest = assemble(
  [{ name: 'x', type: { dtype: 'float32', shape: [1] } }],
  [{ name: 'y', type: { dtype: 'float32', shape: [1] }, value: call('Neg', [leaf('x')]) }],
)

/** A session on the WebGPU adapter that the runtime finds. */
export const probe: Effect<void> = pipe(
  runtime,
  TE.chain((ort) => createSession(ort, smallest, { device: 'webgpu', mode: 'training' })),
  TE.map((session) => session.release()),
)

/** Asks the native library; a `compile` error where there is none for this machine. */
export const available: Effect<Available> = pipe(
  TE.Do,
  TE.bind('ort', () => runtime),
  TE.bind('made', () => TE.rightTask(probe)),
  TE.bind('half', ({ ort, made }) => (E.isRight(made) ? computesHalf(ort) : TE.right(false))),
  TE.map(({ ort, made, half }) => ({
    version: ort.version,
    providers: ort.providers,
    webgpu: E.isRight(made) ? { usable: true, half } : { usable: false, reason: made.left[0].got },
  })),
)
