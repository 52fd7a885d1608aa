import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { type Effect, failure, reasonOf } from '../../error.ts'
import { pipe, RR, TE } from '../../prelude.ts'
import type { CompileOptions } from '../executor.ts'
import { inputName, outputName } from './assemble.ts'
import type { Device } from './devices.ts'
import { showingBits } from './half-tensor.js'
import { nothingOutside, type Outside, outside } from './outside.ts'
import { encode, initializerBytes, type Model } from './proto.ts'
import type { Runtime } from './runtime.ts'

export interface SessionOptions extends Pick<CompileOptions, 'mode' | 'threads'> {
  readonly device: Device
  /** Outputs that stay in the GPU's memory; the others come back. */
  readonly resident?: readonly string[]
  /** Where to write the model as the runtime has laid it out over its devices. */
  readonly layout?: string
  /** Where failing is an answer. */
  readonly quiet?: true
}
export type Tensors = Readonly<Record<string, Tensor>>
/** Runs by the graph's own names. */
export interface Session {
  /** `into` gives tensors whose memory receives an output. */
  readonly run: (feeds: Tensors, into?: Tensors) => Effect<Tensors>
  readonly release: () => void
}

const [errorsOnly, fatalOnly] = [3, 4] as const
/** Training leaves optimisation to our own transforms: the runtime's costs seconds of session building and speed. */
const modes: { readonly [M in CompileOptions['mode']]: InferenceSession.SessionOptions } = {
  sampling: { graphOptimizationLevel: 'all' },
  training: { graphOptimizationLevel: 'disabled', enableMemPattern: false },
}
/** The runtime's own names. */
const providers: { readonly [D in Device]: readonly string[] } = {
  cpu: ['cpu'],
  wasm: ['wasm'],
  webgpu: ['webgpu', 'cpu'],
}
const outsideOf = ({ readsFiles }: Runtime, model: Model): Outside =>
  readsFiles ? outside(model.initializers) : nothingOutside
const handedOver = ({ memory, folder }: Outside): InferenceSession.SessionOptions => ({
  ...(memory.length === 0 ? {} : { externalData: memory }),
  ...(folder === undefined ? {} : { extra: { session: { model_external_initializers_file_folder_path: folder } } }),
})
export const sessionOptions = (
  ort: Runtime,
  model: Model,
  { device, mode, threads, resident, layout, quiet }: SessionOptions,
): InferenceSession.SessionOptions => ({
  ...modes[mode],
  executionMode: 'sequential',
  enableCpuMemArena: true,
  ...ort.session({ threads }),
  logSeverityLevel: quiet === true ? fatalOnly : errorsOnly,
  executionProviders: [...providers[device]],
  ...(layout === undefined ? {} : { optimizedModelFilePath: layout }),
  ...handedOver(outsideOf(ort, model)),
  ...(resident === undefined
    ? {}
    : {
        preferredOutputLocation: Object.fromEntries(
          model.outputs.map(({ name }) => [name, resident.some((r) => outputName(r) === name) ? 'gpu-buffer' : 'cpu']),
        ),
      }),
})

const renamed = <A>(xs: Readonly<Record<string, A>>, rename: (name: string) => string): Record<string, A> =>
  Object.fromEntries(Object.entries(xs).map(([name, x]) => [rename(name), x]))

/** A model as its session reads it. Training on the CPU every array is freed at its last use: a third less memory, in the same time. */
export const encoded = (ort: Runtime, model: Model, { device, mode }: SessionOptions): Uint8Array =>
  encode(model, device === 'cpu' && mode === 'training' ? 'untold' : 'told', outsideOf(ort, model))

/** protobuf allows 2^31 bytes in all; this leaves room for the rest of the model. */
const largestModel = 1.5e9

/** Builds a session; what the runtime says against the model is a `compile` error. */
export const createSession = (ort: Runtime, model: Model, options: SessionOptions): Effect<Session> => {
  const at = `onnx:${options.device}`
  const bytes = initializerBytes(model, outsideOf(ort, model))
  if (bytes > largestModel)
    return TE.left([
      failure(
        'compile',
        at,
        `at most ${largestModel / 1e9} GB of constants in a model`,
        `${(bytes / 1e9).toFixed(1)} GB`,
        'hold the larger parameters: give them to start, beside what it carries',
      ),
    ])
  return pipe(
    TE.tryCatch(
      async () =>
        wrap(
          await ort.InferenceSession.create(encoded(ort, model, options), sessionOptions(ort, model, options)),
          at,
          model,
        ),
      reasonOf,
    ),
    TE.orElse((reason) =>
      TE.leftTask(ort.explained(reason, [failure('compile', at, 'a graph that ONNX Runtime takes', reason)])),
    ),
  )
}

/** Outputs that are read in another shape than the runtime makes them in, in one of the two. */
const shapedAs = ({ outputs }: Model, which: 'made' | 'read') => {
  const shapes = new Map(
    outputs.flatMap(({ name, type, readAs }) =>
      type === undefined || readAs === undefined ? [] : [[name, which === 'made' ? type.shape : readAs] as const],
    ),
  )
  return RR.mapWithIndex((name, x: Tensor) => {
    const shape = shapes.get(name)
    return shape === undefined ? x : x.reshape(shape)
  })
}

const bits = RR.map(showingBits)

const wrap = (session: InferenceSession, at: string, model: Model): Session => {
  const outputs = Object.fromEntries(model.outputs.map(({ name }) => [name, null]))
  const [asMade, asRead] = [shapedAs(model, 'made'), shapedAs(model, 'read')]
  return {
    run: (feeds, into = {}) =>
      TE.tryCatch(
        async () => {
          const buffers = bits(asMade(renamed(into, outputName)))
          const results = await session.run(bits(renamed(feeds, inputName)), { ...outputs, ...buffers })
          return renamed(asRead(results), (name) => name.slice(outputName('').length))
        },
        (e) => [failure('run', at, 'a run that succeeds', reasonOf(e))],
      ),
    release: () => void session.release(),
  }
}
