// @ts-check
// The one place that loads ONNX Runtime's package. JavaScript, since Node 20 starts no worker from TypeScript, and the tests run on sources.
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'

/** Known to the threads that a thread starts. */
const switchedOff = 'latentgraph: telemetry is off'

/** A thread's `process.env` is a copy, which native code does not see: it is the main thread's that has to be set. */
const inMainThread = async (/** @type {string} */ expression) => {
  const { Session } = await import('node:inspector/promises')
  const session = new Session()
  session.connectToMainThread()
  // From Node 24 a thread that only waits for the answer would end.
  const awake = setInterval(() => {}, 1e6)
  const { exceptionDetails } = await session
    .post('Runtime.evaluate', { expression })
    .finally(() => clearInterval(awake))
  session.disconnect()
  if (exceptionDetails !== undefined)
    throw new Error(`telemetry stays on, ORT_DISABLE_TELEMETRY cannot be set: ${exceptionDetails.text}`)
}

/**
 * ONNX Runtime 1.30 reports each process to its maker, by way of files in the user's cache and temporary folders, unless the process
 * has this variable before the library is loaded. What the user has set stays.
 */
const switchTelemetryOff = async () => {
  if (isMainThread) process.env.ORT_DISABLE_TELEMETRY ||= '1'
  else if (getEnvironmentData(switchedOff) !== true) await inMainThread("process.env.ORT_DISABLE_TELEMETRY ||= '1'")
  setEnvironmentData(switchedOff, true)
}

export const load = async () => {
  await switchTelemetryOff()
  const ort = await import('onnxruntime-node')
  ort.env.logLevel = 'error'
  return ort
}
