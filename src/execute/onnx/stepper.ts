import type { Tensor } from 'onnxruntime-node'
import type { Effect } from '../../error.ts'
import { size } from '../../graph/types.ts'
import { pipe, RR, TE } from '../../prelude.ts'
import { carried, omit, only } from '../carry.ts'
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

/** What stays as it was given, in the memory that it was given in. */
const heldBy = (ort: Runtime, carry: Carry, initial: Values): Tensors =>
  RR.map((v: Values[string]) => toTensor(ort, v))(omit(initial, Object.values(carry)))
const copied = (ort: Runtime, carry: Carry, initial: Values): Tensors =>
  RR.map((v: Values[string]) => toTensor(ort, copy(v)))(only(initial, Object.values(carry)))

/** Copies to read from and buffers to write to; one buffer for both where the leaf is `single`. */
const hostBuffers = (ort: Runtime, carry: Carry, single: ReadonlySet<string>, initial: Values) => {
  const now = copied(ort, carry, initial)
  const next: Tensors = RR.mapWithIndex((leaf, v: Values[string]) =>
    single.has(leaf) ? (now[leaf] ?? toTensor(ort, v)) : toTensor(ort, emptyValue(v.dtype, v.shape, size(v.shape))),
  )(only(initial, Object.values(carry)))
  return { now, next }
}

/**
 * In main memory: two buffers an array, read and written in turn, or one where the output can be `writable` over its
 * leaf. What is carried is copied from `initial`; what is held is read where it lies.
 */
export const hostState = (
  ort: Runtime,
  session: Session,
  { carry, writable }: { readonly carry: Carry; readonly writable: ReadonlySet<string> },
  initial: Values,
): State => {
  const single = new Set(Object.entries(carry).flatMap(([output, leaf]) => (writable.has(output) ? [leaf] : [])))
  const held = heldBy(ort, carry, initial)
  let { now, next } = hostBuffers(ort, carry, single, initial)
  return {
    step: (feeds) =>
      pipe(
        session.run({ ...feeds, ...held, ...now }, outputsOf(carry, next)),
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

/** In main memory, handed on as it is returned: WebAssembly copies what it is fed, held arrays too, and what it returns into its own. */
export const passedState = (ort: Runtime, session: Session, carry: Carry, initial: Values): State => {
  const held = heldBy(ort, carry, initial)
  let now = copied(ort, carry, initial)
  return {
    step: (feeds) =>
      pipe(
        session.run({ ...feeds, ...held, ...now }),
        TE.map((results) => {
          now = carried(results, carry)
          return omit(results, Object.keys(carry))
        }),
      ),
    read: TE.fromIO(() => RR.map((t: Tensor) => copy(toValue(t)))(now)),
    release: () => {},
  }
}

/** Arrays that a device keeps. */
export interface Held {
  readonly tensors: Tensors
  readonly release: () => void
}
export const nothingHeld: Held = { tensors: {}, release: () => {} }
/** Brings arrays to the GPU once: `uploader`, an identity, leaves its outputs there. */
export const uploaded = (ort: Runtime, uploader: Session, values: Values): Effect<Held> =>
  pipe(
    defer(() => uploader.run(RR.map((v: Values[string]) => toTensor(ort, v))(values))),
    TE.map((tensors) => ({
      tensors,
      release: () => {
        for (const t of Object.values(tensors)) t.dispose()
        uploader.release()
      },
    })),
  )

/**
 * In the GPU's memory: `session` leaves the carried outputs there. `reader`, an identity, brings them back: asking
 * such a tensor for its data aborts the process. `held` is there already.
 */
export const residentState = (
  ort: Runtime,
  { session, reader, held }: { readonly session: Session; readonly reader: Session; readonly held: Held },
  carry: Carry,
  initial: Values,
): State => {
  let now = copied(ort, carry, initial)
  const drop = (old: Tensors): void => {
    for (const t of Object.values(old)) t.dispose()
  }
  return {
    step: (feeds) =>
      pipe(
        session.run({ ...feeds, ...held.tensors, ...now }),
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
      held.release()
      session.release()
      reader.release()
    },
  }
}
