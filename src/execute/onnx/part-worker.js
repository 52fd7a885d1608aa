// @ts-check
// A session in a thread of its own. JavaScript, since Node 20 starts no worker from TypeScript, and the tests run on sources.
import { parentPort, workerData } from 'node:worker_threads'
import { showingBits } from './half-tensor.js'
import { load } from './package.js'

/**
 * Arrays in memory that the parent sees too. The runtime takes none such, so they are copied.
 * @typedef {Readonly<Record<string, { readonly type: 'float32' | 'float16' | 'int32' | 'bool', readonly dims: readonly number[], readonly memory: SharedArrayBuffer }>>} Arrays
 * @typedef {{ readonly model: Uint8Array, readonly options: import('onnxruntime-node').InferenceSession.SessionOptions, readonly feeds: Arrays, readonly outputs: Arrays }} Work
 */

const numbers = {
  float32: (/** @type {ArrayBuffer} */ bytes) => new Float32Array(bytes),
  float16: (/** @type {ArrayBuffer} */ bytes) => new Uint16Array(bytes),
  int32: (/** @type {ArrayBuffer} */ bytes) => new Int32Array(bytes),
  bool: (/** @type {ArrayBuffer} */ bytes) => new Uint8Array(bytes),
}
const { InferenceSession, Tensor } = await load()
/** An own array beside each shared one. @param {Arrays} arrays */
const paired = (arrays) =>
  Object.entries(arrays).map(([name, { type, dims, memory }]) => {
    const bytes = new ArrayBuffer(memory.byteLength)
    return {
      name,
      tensor: showingBits(new Tensor(type, numbers[type](bytes), dims)),
      own: new Uint8Array(bytes),
      shared: new Uint8Array(memory),
    }
  })
/** @param {ReturnType<typeof paired>} pairs */
const tensors = (pairs) => Object.fromEntries(pairs.map(({ name, tensor }) => [name, tensor]))

/** @param {() => Promise<unknown>} work */
const answer = async (work) => {
  try {
    await work()
    parentPort?.postMessage({})
  } catch (e) {
    parentPort?.postMessage({ error: e instanceof Error ? e.message : String(e) })
  }
}

/** @type {Work} */
const { model, options, feeds, outputs } = workerData
const [given, made] = [paired(feeds), paired(outputs)]
await answer(async () => {
  const session = await InferenceSession.create(model, options)
  parentPort?.on('message', () =>
    answer(async () => {
      for (const { own, shared } of given) own.set(shared)
      await session.run(tensors(given), tensors(made))
      for (const { own, shared } of made) shared.set(own)
    }),
  )
})
