import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Task } from '../../prelude.ts'
import { assemble } from './assemble.ts'
import { encode } from './proto.ts'
import type { Library } from './runtime.ts'
import { call, floats, ints, leaf } from './value.ts'

const channels = 64
const taps = 9
const candidates = [16, 8, 32, 4]

/** Where each element of a weight [channels, channels, taps] stands among blocks of b, filled with its own index. */
const inBlocks = (b: number): Float32Array =>
  Float32Array.from({ length: channels * channels * taps }, (_, at) => {
    const out = at % b
    const inner = Math.floor(at / b) % b
    const tap = Math.floor(at / (b * b)) % taps
    const block = Math.floor(at / (b * b * taps))
    const [outer, inward] = [Math.floor(block / (channels / b)), block % (channels / b)]
    return ((outer * b + out) * channels + inward * b + inner) * taps + tap
  })

const probe = () => {
  const weight = floats(
    [channels, channels, 3, 3],
    Array.from({ length: channels * channels * taps }, (_, i) => i),
  )
  const type = { dtype: 'float32', shape: [1, channels, 4, 4] } as const
  const y = call('Conv', [leaf('x'), weight], { pads: ints([1, 1, 1, 1]) })
  return encode(assemble([{ name: 'x', type }], [{ name: 'y', type, value: y }]))
}

const measure = async ({ InferenceSession }: Library): Promise<number | null> => {
  const folder = await mkdtemp(join(tmpdir(), 'latentgraph-'))
  try {
    const optimizedModelFilePath = join(folder, 'optimised.onnx')
    const session = await InferenceSession.create(probe(), {
      graphOptimizationLevel: 'all',
      optimizedModelFilePath,
      logSeverityLevel: 3,
      intraOpNumThreads: 1,
    })
    await session.release()
    const written = await readFile(optimizedModelFilePath)
    return candidates.find((b) => written.includes(Buffer.from(inBlocks(b).buffer))) ?? null
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

let found: Promise<number | null> | undefined
/**
 * Channels a block of the runtime's blocked convolutions on this processor: what its own optimiser writes when it lays
 * out a convolution. Null where it uses none, or where that cannot be found out. Asked once a process.
 */
export const blockSize =
  (ort: Library): Task<number | null> =>
  () => {
    found ??= measure(ort).catch(() => null)
    return found
  }
