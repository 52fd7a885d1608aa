import type { Tensor } from 'onnxruntime-node'
import type { Effect } from '../../error.ts'
import { size } from '../../graph/types.ts'
import { pipe, RR, TE } from '../../prelude.ts'
import { carried, omit } from '../carry.ts'
import { type Carry, emptyValue, type Values } from '../executor.ts'
import { defer } from '../lifetime.ts'
import { copy, type Runtime, toTensor, toValue } from './runtime.ts'
import type { Session, Tensors } from './session.ts'

/** The carried state of a running program: where it is kept, and how a step moves it on. */
export interface State {
  /** Feeds the rest; returns what is not carried. */
  readonly step: (feeds: Tensors) => Effect<Tensors>
  readonly read: Effect<Values>
  readonly release: () => void
}

/** Copies to read from and buffers to write to; one buffer for both where the leaf is `single`. */
const hostBuffers = (ort: Runtime, single: ReadonlySet<string>, initial: Values) => {
  const now: Tensors = RR.map((v: Values[string]) => toTensor(ort, copy(v)))(initial)
  const next: Tensors = RR.mapWithIndex((leaf, v: Values[string]) =>
    single.has(leaf) ? (now[leaf] ?? toTensor(ort, v)) : toTensor(ort, emptyValue(v.dtype, v.shape, size(v.shape))),
  )(initial)
  return { now, next }
}

/**
 * In main memory: two buffers an array, read and written in turn, or one where the output can be `writable` over its
 * leaf. `initial` is not held on to.
 */
export const hostState = (
  ort: Runtime,
  session: Session,
  { carry, writable }: { readonly carry: Carry; readonly writable: ReadonlySet<string> },
  initial: Values,
): State => {
  const single = new Set(Object.entries(carry).flatMap(([output, leaf]) => (writable.has(output) ? [leaf] : [])))
  let { now, next } = hostBuffers(ort, single, initial)
  return {
    step: (feeds) =>
      pipe(
        session.run({ ...feeds, ...now }, outputsOf(carry, next)),
        TE.map((results) => {
          ;[now, next] = [next, now]
          return omit(results, Object.keys(carry))
        }),
      ),
    read: TE.fromIO(() => RR.map((t: Tensor) => copy(toValue(t)))(now)),
    release: () => {},
  }
}
/** By output name what is known by leaf name. */
const outputsOf = (carry: Carry, leaves: Tensors): Tensors =>
  Object.fromEntries(
    Object.entries(carry).flatMap(([output, leaf]) => {
      const found = leaves[leaf]
      return found === undefined ? [] : [[output, found]]
    }),
  )

/** In main memory, handed on as it is returned: WebAssembly copies what it is fed and what it returns into its own. */
export const passedState = (ort: Runtime, session: Session, carry: Carry, initial: Values): State => {
  let now: Tensors = RR.map((v: Values[string]) => toTensor(ort, copy(v)))(initial)
  return {
    step: (feeds) =>
      pipe(
        session.run({ ...feeds, ...now }),
        TE.map((results) => {
          now = carried(results, carry)
          return omit(results, Object.keys(carry))
        }),
      ),
    read: TE.fromIO(() => RR.map((t: Tensor) => copy(toValue(t)))(now)),
    release: () => {},
  }
}

/**
 * In the GPU's memory: `session` leaves the carried outputs there. `reader`, an identity, brings them back: asking
 * such a tensor for its data aborts the process.
 */
export const residentState = (
  ort: Runtime,
  { session, reader }: { readonly session: Session; readonly reader: Session },
  carry: Carry,
  initial: Values,
): State => {
  let now: Tensors = RR.map((v: Values[string]) => toTensor(ort, copy(v)))(initial)
  const drop = (old: Tensors): void => {
    for (const t of Object.values(old)) t.dispose()
  }
  return {
    step: (feeds) =>
      pipe(
        session.run({ ...feeds, ...now }),
        TE.map((results) => {
          const old = now
          now = carried(results, carry)
          drop(old)
          return omit(results, Object.keys(carry))
        }),
      ),
    read: defer(() => pipe(reader.run(now), TE.map(RR.map(toValue)))),
    release: () => {
      drop(now)
      session.release()
      reader.release()
    },
  }
}
