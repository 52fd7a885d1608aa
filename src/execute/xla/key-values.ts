import { MessageChannel, Worker } from 'node:worker_threads'
import { showErrors } from '../../error.ts'
import { E } from '../../prelude.ts'
import type { Group } from '../ranks/group.ts'
import { codes, offsetsOf, structures } from './pjrt.ts'

/** C functions by which a plugin reads and writes what all processes see; they live as long as this one. */
export interface KeyValues {
  readonly get: bigint
  readonly tryGet: bigint
  readonly put: bigint
}

type Question = { readonly key: string } & ({ readonly within: number } | { readonly value: Uint8Array })

const { KeyValueGet, KeyValueTryGet, KeyValuePut } = structures
const layouts = { get: offsetsOf(KeyValueGet), tryGet: offsetsOf(KeyValueTryGet), put: offsetsOf(KeyValuePut) }
const bytes = { get: KeyValueGet.bytes, tryGet: KeyValueTryGet.bytes, put: KeyValuePut.bytes }

const answering = async (group: Group): Promise<KeyValues> => {
  const signal = new Int32Array(new SharedArrayBuffer(4))
  const { port1, port2 } = new MessageChannel()
  const answerTo = async (key: string, within: number) => {
    const found = await group.get(key, within)()
    if (E.isLeft(found)) return { code: codes.unavailable, message: showErrors(found.left) }
    if (found.right !== undefined) return { value: found.right }
    return within === 0
      ? { code: codes.notFound, message: key }
      : { code: codes.deadlineExceeded, message: `${key}: no rank has put it within ${within / 1000} s` }
  }
  port1.on('message', async (question: Question) => {
    if ('value' in question) return group.put(question.key, question.value)
    port1.postMessage(await answerTo(question.key, Math.max(0, question.within)))
    Atomics.add(signal, 0, 1)
    Atomics.notify(signal, 0)
  })
  port1.unref()
  const workerData = { layouts, bytes, internal: codes.internal, signal, port: port2 }
  const worker = new Worker(new URL('./answering.js', import.meta.url), { workerData, transferList: [port2] })
  const made = await new Promise<KeyValues>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  worker.unref()
  return made
}

const known = new WeakMap<Group, Promise<KeyValues>>()
/**
 * The store of a group for a plugin. One thread waits for values, another writes and looks: a write is never behind a value that has not
 * come.
 */
export const keyValuesOf = (group: Group): Promise<KeyValues> => {
  const made =
    known.get(group) ??
    Promise.all([answering(group), answering(group)]).then(([waits, others]) => ({ ...others, get: waits.get }))
  known.set(group, made)
  return made
}
