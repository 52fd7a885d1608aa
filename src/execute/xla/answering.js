// @ts-check
// A thread that answers what a plugin asks of the store of several processes: from threads of its own, while others of them wait for the
// answer. koffi runs a callback on the thread that has registered it, so that the main thread stays free to speak with the others.
// JavaScript, since Node 20 starts no worker from TypeScript, and the tests run on sources.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import koffi from 'koffi'

/**
 * Where the fields of a plugin's arguments lie.
 * @typedef {Readonly<Record<string, number>>} Fields
 * @typedef {{ readonly get: Fields, readonly tryGet: Fields, readonly put: Fields }} Layouts
 * @typedef {{ readonly value: Uint8Array } | { readonly code: number, readonly message: string }} Answer
 * @typedef {{ readonly layouts: Layouts, readonly bytes: Readonly<Record<keyof Layouts, number>>, readonly internal: number, readonly signal: Int32Array, readonly port: import('node:worker_threads').MessagePort }} Start
 */

/** @type {Start} */
const { layouts, bytes, internal, signal, port } = workerData
const process = koffi.load(null)
const malloc = process.func('malloc', 'void*', ['size_t'])
/** The plugin lets go of a value by the C library's `free`. */
const free = process.func('dlsym', 'void*', ['void*', 'const char*'])(null, 'free')
const failing = koffi.proto('void*', ['int', 'const char*', 'size_t'])
const callback = koffi.pointer(koffi.proto('void*', ['void*']))

/** @param {bigint} address @param {number} length */
const bytesAt = (address, length) => new Uint8Array(koffi.view(address, length)).slice()
/** An argument of a call. @param {DataView} given @param {Fields} fields @param {string} name */
const pointer = (given, fields, name) => given.getBigUint64(fields[name] ?? 0, true)
/** @param {DataView} given @param {Fields} fields @param {string} name @param {string} length */
const block = (given, fields, name, length) => {
  const size = Number(pointer(given, fields, length))
  return size === 0 ? new Uint8Array() : bytesAt(pointer(given, fields, name), size)
}
/** @param {Uint8Array} text */
const textOf = (text) => new TextDecoder().decode(text)

/** Sends a question to the main thread and sleeps until it is answered. @param {unknown} question @returns {Answer} */
const asked = (question) => {
  port.postMessage(question)
  for (;;) {
    const seen = Atomics.load(signal, 0)
    const post = receiveMessageOnPort(port)
    if (post !== undefined) return post.message
    Atomics.wait(signal, 0, seen)
  }
}
/** Writes a value, or makes the plugin's error of what is missing. @param {DataView} given @param {Fields} fields @param {Answer} answer */
const answered = (given, fields, answer) => {
  if ('code' in answer) {
    const [make] = new BigUint64Array(koffi.view(pointer(given, fields, 'fail'), 8))
    const message = new TextEncoder().encode(answer.message).length
    return koffi.decode(make ?? 0n, failing)(answer.code, answer.message, message)
  }
  const { value } = answer
  const memory = malloc(Math.max(value.length, 1))
  if (value.length > 0) new Uint8Array(koffi.view(memory, value.length)).set(value)
  given.setBigUint64(fields.value ?? 0, BigInt(memory), true)
  given.setBigUint64(fields.valueLength ?? 0, BigInt(value.length), true)
  given.setBigUint64(fields.deleter ?? 0, BigInt(free), true)
  return null
}

/** @type {{ readonly [K in keyof Layouts]: (given: DataView, fields: Fields) => bigint | null }} */
const calls = {
  get: (given, fields) =>
    answered(
      given,
      fields,
      asked({
        key: textOf(block(given, fields, 'key', 'keyLength')),
        within: given.getInt32(fields.within ?? 0, true),
      }),
    ),
  tryGet: (given, fields) =>
    answered(given, fields, asked({ key: textOf(block(given, fields, 'key', 'keyLength')), within: 0 })),
  put: (given, fields) => {
    const value = block(given, fields, 'value', 'valueLength')
    port.postMessage({ key: textOf(block(given, fields, 'key', 'keyLength')), value })
    return null
  },
}
/** @param {keyof Layouts} name */
const registered = (name) =>
  koffi.register((/** @type {bigint} */ address) => {
    const given = new DataView(koffi.view(address, bytes[name]))
    const fields = layouts[name]
    try {
      return calls[name](given, fields)
    } catch (e) {
      // Nothing may be thrown through the plugin.
      return answered(given, fields, { code: internal, message: e instanceof Error ? e.message : String(e) })
    }
  }, callback)

parentPort?.postMessage({ get: registered('get'), tryGet: registered('tryGet'), put: registered('put') })
parentPort?.on('message', () => {})
