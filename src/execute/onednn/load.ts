import { type Effect, effect, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { type Koffi, koffiOf, pin } from '../native/koffi.ts'
import { checkHash, type Place } from '../native/recorded.ts'
import { checkLibrary } from '../native/shared-object.ts'
import { checkThreads } from '../onnx/threads.ts'
import {
  type Argument,
  type Functions,
  type Handle,
  inOrder,
  type Name,
  query,
  signatures,
  statuses,
  unimplemented,
} from './api.ts'
import { findLibrary, howToGet } from './places.ts'

/** The library in this process, with an engine on the CPU and a stream of its own. */
export interface Library {
  readonly path: string
  readonly version: string
  /** The instruction sets that it uses on this processor, of `dnnl_cpu_isa_t`. */
  readonly isa: number
  readonly engine: Handle
  readonly stream: Handle
  /** A thing that the library makes, its first argument; undefined where it has no implementation. */
  readonly make: (name: Name, ...args: readonly Argument[]) => Handle | undefined
  /** A call that has to succeed. */
  readonly call: (name: Name, ...args: readonly Argument[]) => void
  readonly ask: (name: Name, ...args: readonly Argument[]) => unknown
  /** The name of the implementation behind a primitive descriptor. */
  readonly implementation: (descriptor: Handle) => string
  readonly addressOf: (array: Uint8Array) => bigint
  /** OpenMP's library, of which each thread has to be told that its primitives are its own alone. */
  readonly omp: string | undefined
}

const gomp = 'libgomp.so.1'
const major = 3
const versionOf = (koffi: Koffi, path: string, handle: unknown): Effect<string> =>
  TE.tryCatch(
    async () => {
      const [first, ...others]: number[] = [...koffi.decode(handle, 'int32_t[3]')]
      if (first !== major) throw new Error(`version ${[first, ...others].join('.')}`)
      return [first, ...others].join('.')
    },
    (e) => [failure('compile', path, `oneDNN ${major}`, reasonOf(e))],
  )

const opened = (koffi: Koffi, path: string): Effect<Library> =>
  effect(async (run) => {
    const refused = <A>(make: () => A): Promise<A> =>
      run(
        TE.tryCatch(
          async () => make(),
          (e) => [failure('compile', path, `oneDNN ${major}`, reasonOf(e))],
        ),
      )
    const library = await refused(() => koffi.load(path))
    const version = await run(versionOf(koffi, path, await refused(() => library.func('dnnl_version', 'void*', [])())))
    const functions = await refused((): Functions => {
      const entries = Object.entries(signatures).map(([name, [result, args]]) => [
        name,
        library.func(name, result, [...args]),
      ])
      return Object.fromEntries(entries)
    })
    const ask: Library['ask'] = (name, ...args) => functions[name](...args)
    const checked = (name: Name, status: unknown): void => {
      if (status !== 0) throw new Error(`${name}: ${statuses[Number(status)] ?? `status ${status}`}`)
    }
    const make: Library['make'] = (name, ...args) => {
      const made: Handle[] = [null]
      const status = ask(name, made, ...args)
      if (status === unimplemented) return undefined
      checked(name, status)
      return made[0] ?? null
    }
    const call: Library['call'] = (name, ...args) => checked(name, ask(name, ...args))
    const [cpu, first] = [1, 0]
    const engine = (await refused(() => make('dnnl_engine_create', cpu, first))) ?? null
    const stream = (await refused(() => make('dnnl_stream_create', engine, inOrder))) ?? null
    const omp = process.platform === 'linux' ? gomp : undefined
    if (omp !== undefined) koffi.load(omp).func('omp_set_num_threads', 'void', ['int'])(1)
    return {
      path,
      version,
      isa: Number(ask('dnnl_get_effective_cpu_isa')),
      engine,
      stream,
      make,
      call,
      ask,
      implementation: (descriptor) => {
        const name: string[] = ['']
        call('dnnl_primitive_desc_query', descriptor, query.implementation, 0, name)
        return name[0] ?? ''
      },
      addressOf: (array) => koffi.address(array),
      omp,
    }
  })

/** Loads a library that was found: its file is sound, of the hash written down, for this machine, and of version 3. */
export const loadFrom = (place: Place): Effect<Library> =>
  effect(async (run) => {
    await run(TE.fromEither(checkThreads()))
    await run(checkLibrary(place.path))
    await run(checkHash(place, 'onednn', howToGet))
    const koffi = await run(koffiOf)
    await run(pin(koffi, place.path, [gomp, place.path], 'its threads need libgomp (Debian: libgomp1)'))
    return run(opened(koffi, place.path))
  })

const loaded = new Map<string, Promise<Awaited<ReturnType<Effect<Library>>>>>()
/** The library of this machine, loaded once. */
export const library: Effect<Library> = effect(async (run) => {
  const place = await run(findLibrary)
  const key = `${place.path} ${place.sha256 ?? ''}`
  const known = loaded.get(key) ?? loadFrom(place)()
  loaded.set(key, known)
  return run(() => known)
})
