import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Tensor } from 'onnxruntime-node'
import { collect, type Effect, type Errors, effect, failure, reasonOf } from '../../error.ts'
import { bytes } from '../../graph/cost.ts'
import { size } from '../../graph/types.ts'
import { E, pipe, RR, T, TE } from '../../prelude.ts'
import { only } from '../carry.ts'
import { emptyValue } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { inputName, outputName } from './assemble.ts'
import type { Model } from './proto.ts'
import { type Runtime, toTensor } from './runtime.ts'
import { createSession, encoded, type Session, type SessionOptions, sessionOptions, type Tensors } from './session.ts'

/** The model of a graph that has nothing but leaves in common with the others; what it is fed and what it makes. */
export interface Part {
  readonly model: Model
  readonly fed: Types
  readonly made: Types
}

const at = 'onnx:cpu'
const bytesOf = ({ data }: Tensor): Uint8Array => {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  throw new Error('a tensor without numbers')
}

/** Memory that two threads see, one piece an array. */
const sharedMemory = (types: Types): Readonly<Record<string, SharedArrayBuffer>> =>
  pipe(
    types,
    RR.map((type) => new SharedArrayBuffer(bytes(type))),
  )
/** What a worker is told of arrays, under the model's names. */
const described = (
  types: Types,
  memory: Readonly<Record<string, SharedArrayBuffer>>,
  rename: (name: string) => string,
) =>
  Object.fromEntries(
    Object.entries(types).map(([name, { dtype, shape }]) => [
      rename(name),
      { type: dtype, dims: shape, memory: memory[name] },
    ]),
  )

/** Types as the runtime makes them. */
const asMade = ({ outputs }: Model, made: Types): Types =>
  pipe(
    made,
    RR.mapWithIndex((name, type) => ({
      ...type,
      shape: outputs.find((o) => o.name === outputName(name))?.type?.shape ?? type.shape,
    })),
  )

/** The session of a part in a thread of its own. A run has begun when it returns. */
const inWorker = (ort: Runtime, { model, fed, made }: Part, options: SessionOptions): Effect<Session> => {
  const [given, results] = [sharedMemory(fed), sharedMemory(made)]
  const worker = new Worker(new URL('./part-worker.js', import.meta.url), {
    workerData: {
      model: encoded(ort, model, options),
      options: sessionOptions(ort, model, options),
      feeds: described(fed, given, inputName),
      outputs: described(asMade(model, made), results, outputName),
    },
  })
  /** The worker keeps the process alive while it is waited for, and no longer. */
  const answer = async (): Promise<void> => {
    worker.ref()
    const over = new AbortController()
    const said = async (): Promise<{ readonly error?: string }> => (await once(worker, 'message', over))[0]
    const ended = async () => {
      await once(worker, 'exit', over)
      return { error: 'the thread has ended' }
    }
    const { error } = await Promise.race([said(), ended()]).finally(() => over.abort())
    worker.unref()
    if (error !== undefined) throw new Error(error)
  }
  const run = async (feeds: Tensors, into: Tensors): Promise<Tensors> => {
    for (const [name, memory] of Object.entries(given)) {
      const feed = feeds[name]
      if (feed !== undefined) new Uint8Array(memory).set(bytesOf(feed))
    }
    worker.postMessage('run')
    await answer()
    return pipe(
      made,
      RR.mapWithIndex((name, { dtype, shape }) => {
        const tensor = into[name] ?? toTensor(ort, emptyValue(dtype, shape, size(shape)))
        bytesOf(tensor).set(new Uint8Array(results[name] ?? new ArrayBuffer(0)))
        return tensor
      }),
    )
  }
  return pipe(
    TE.tryCatch(answer, (e): Errors => [failure('compile', at, 'a graph that ONNX Runtime takes', reasonOf(e))]),
    TE.map(
      (): Session => ({
        run: (feeds, into = {}) =>
          TE.tryCatch(
            () => run(feeds, into),
            (e): Errors => [failure('run', at, 'a run that succeeds', reasonOf(e))],
          ),
        release: () => void worker.terminate(),
      }),
    ),
  )
}

const together = <A>(effects: readonly Effect<A>[]): Effect<readonly A[]> =>
  pipe(() => Promise.all(effects.map((effect) => effect())), T.map(collect))

/** Parts as one session: the first runs in this thread, which it blocks, the others in threads of their own. */
export const sideBySide = (
  ort: Runtime,
  [first, ...others]: readonly [Part, ...Part[]],
  options: SessionOptions,
): Effect<Session> =>
  effect(async (run) => {
    const begun = await Promise.all(
      [...others.map((part) => inWorker(ort, part, options)), createSession(ort, first.model, options)].map((start) =>
        start(),
      ),
    )
    const sessions = begun.flatMap((s) => (E.isRight(s) ? [s.right] : []))
    const release = () => {
      for (const s of sessions) s.release()
    }
    if (sessions.length < begun.length) release()
    await run(TE.fromEither(collect(begun)))
    const names = [...others, first].map(({ fed, made }) => [Object.keys(fed), Object.keys(made)] as const)
    return {
      run: (feeds, into = {}) =>
        pipe(
          together(sessions.map((s, i) => s.run(only(feeds, names[i]?.[0] ?? []), only(into, names[i]?.[1] ?? [])))),
          TE.map((results) => Object.assign({}, ...results)),
        ),
      release,
    }
  })
