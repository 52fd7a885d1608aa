import { type Checked, type Effect, effect, fail, showErrors } from '../error.ts'
import { E, pipe, type Task, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import { decide, type Finding, type Found } from './decide.ts'
import type { Executor } from './executor.ts'
import { type ExecutorName, executorNames } from './names.ts'
import { onednn } from './onednn/index.ts'
import { lookIfFaster } from './onednn/speed.ts'
import { onnx } from './onnx/index.ts'
import { runtime } from './onnx/native.ts'
import { realAdapter } from './onnx/real-adapter.ts'
import { reference } from './reference/index.ts'
import { lookForGpu } from './tfjs/found.ts'
import { tfjs } from './tfjs/index.ts'
import { lookForAccelerators } from './xla/found.ts'
import { xla } from './xla/index.ts'
import { askedDevices } from './xla/places.ts'

export interface Choice {
  readonly executor: Executor
  /** Why this one, in a sentence. */
  readonly reason: string
}

const nativeCpu: Task<Found> = pipe(
  runtime,
  TE.match(
    (errors): Found => ({ usable: false, what: showErrors(errors) }),
    (ort): Found => ({ usable: true, what: `ONNX Runtime ${ort.version} on the CPU` }),
  ),
)

/**
 * What `auto` looks for beside XLA's accelerators, best first; another engine's device is one line here. A probe runs only if all before
 * found nothing; what it knows nothing of is not mentioned.
 */
const candidates: readonly { readonly name: string; readonly probe: Task<Found | undefined> }[] = [
  { name: 'tfjs:node-gpu', probe: lookForGpu('node-gpu') },
  { name: 'onnx:webgpu', probe: realAdapter },
  { name: 'onednn', probe: lookIfFaster },
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
  return { executor: await run(TE.fromEither(executorByName(name))), reason }
})

const executors: Readonly<Record<ExecutorName, () => Executor>> = {
  reference: () => reference,
  onnx: () => onnx('cpu'),
  'onnx:cpu': () => onnx('cpu'),
  'onnx:webgpu': () => onnx('webgpu'),
  onednn: () => onednn,
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
/** The executor that a name stands for; whether it can run here shows when it compiles. */
export const executorByName = (name: string): Checked<Executor> => {
  if (askedDevices().count > 1 && !ofXla.test(name))
    return fail('usage', '--devices', 'an executor xla:*, which shares a batch out', name, '--executor xla:cuda')
  if (isExecutorName(name)) return E.right(executors[name]())
  const [, platform] = ofXla.exec(name) ?? []
  return platform !== undefined
    ? E.right(xla(platform))
    : fail('config', 'executor', executorNames.join(' | '), name, didYouMean(name, executorNames))
}
