import { type Effect, effect, fail, showErrors } from '../error.ts'
import { pipe, type Task, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import { decide, type Finding, type Found } from './decide.ts'
import type { Executor } from './executor.ts'
import { type ExecutorName, executorNames } from './names.ts'
import type { Backend } from './tfjs/installed.ts'
import { lookForAccelerators } from './xla/found.ts'
import { askedDevices } from './xla/places.ts'

export interface Choice {
  readonly executor: Executor
  /** Why this one, in a sentence. */
  readonly reason: string
}

const nativeCpu: Task<Found> = async () => {
  const { runtime } = await import('./onnx/native.ts')
  return pipe(
    runtime,
    TE.match(
      (errors): Found => ({ usable: false, what: showErrors(errors) }),
      (ort): Found => ({ usable: true, what: `ONNX Runtime ${ort.version} on the CPU` }),
    ),
  )()
}

/**
 * What `auto` looks for beside XLA's accelerators, best first; another engine's device is one line here. A probe runs only if all before
 * found nothing; what it knows nothing of is not mentioned.
 */
const candidates: readonly { readonly name: string; readonly probe: Task<Found | undefined> }[] = [
  { name: 'tfjs:node-gpu', probe: async () => (await import('./tfjs/found.ts')).lookForGpu('node-gpu')() },
  { name: 'onnx:webgpu', probe: async () => (await import('./onnx/real-adapter.ts')).realAdapter() },
  { name: 'onednn', probe: async () => (await import('./onednn/speed.ts')).lookIfFaster() },
  { name: 'onnx:cpu', probe: nativeCpu },
]

const look: Task<readonly Finding[]> = async () => {
  const findings: Finding[] = [...(await lookForAccelerators())]
  if (findings.some(({ usable }) => usable)) return findings
  for (const { name, probe } of candidates) {
    const found = await probe()
    if (found === undefined) continue
    findings.push({ name, ...found })
    if (found.usable) break
  }
  return findings
}

/** The executor to take where none was asked for: a GPU that is real hardware, else the CPU. */
export const auto: Effect<Choice> = effect(async (run) => {
  const { name, reason } = await run(TE.fromEither(decide(await look())))
  return { executor: await run(executorByName(name)), reason }
})

const onnx = async (device: 'cpu' | 'webgpu'): Promise<Executor> => (await import('./onnx/index.ts')).onnx(device)
const xla = async (platform: string): Promise<Executor> => (await import('./xla/index.ts')).xla(platform)
const tfjs = async (backend: Backend): Promise<Executor> => (await import('./tfjs/index.ts')).tfjs(backend)
/** Each is loaded when it is chosen: an engine is tens of files, and a program uses one. */
const executors: Readonly<Record<ExecutorName, () => Promise<Executor>>> = {
  reference: async () => (await import('./reference/index.ts')).reference,
  onnx: () => onnx('cpu'),
  'onnx:cpu': () => onnx('cpu'),
  'onnx:webgpu': () => onnx('webgpu'),
  onednn: async () => (await import('./onednn/index.ts')).onednn,
  'xla:cuda': () => xla('cuda'),
  'xla:rocm': () => xla('rocm'),
  'xla:tpu': () => xla('tpu'),
  'xla:cpu': () => xla('cpu'),
  'tfjs:node-gpu': () => tfjs('node-gpu'),
  'tfjs:node': () => tfjs('node'),
  'tfjs:webgpu': () => tfjs('webgpu'),
  'tfjs:wasm': () => tfjs('wasm'),
  'tfjs:cpu': () => tfjs('cpu'),
}
const isExecutorName = (name: string): name is ExecutorName => Object.hasOwn(executors, name)

export { executorNames }

/** A platform of XLA by the name under which its plugin was given. */
const ofXla = /^xla:([a-z0-9_]+)$/
/** The executor that a name stands for, loaded; whether it can run here shows when it compiles. Errors: `usage`, `config`, of a name that is none. */
export const executorByName = (name: string): Effect<Executor> => {
  if (askedDevices().count > 1 && !ofXla.test(name))
    return TE.fromEither(
      fail('usage', '--devices', 'an executor xla:*, which shares a batch out', name, '--executor xla:cuda'),
    )
  if (isExecutorName(name)) return TE.fromTask(executors[name])
  const [, platform] = ofXla.exec(name) ?? []
  return platform === undefined
    ? TE.fromEither(fail('config', 'executor', executorNames.join(' | '), name, didYouMean(name, executorNames)))
    : TE.fromTask(() => xla(platform))
}
