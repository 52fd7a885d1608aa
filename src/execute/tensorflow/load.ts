import { createRequire } from 'node:module'
import { type Effect, effect, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { checkHash, type Place } from '../native/recorded.ts'
import { checkLibrary } from '../native/shared-object.ts'
import { threadsHere } from '../onnx/threads.ts'
import { type Addon, isAddon } from './addon.ts'
import { findAddon, howToGet, howToGetGpu } from './places.ts'

/**
 * What TensorFlow reads when it is loaded, unless the user has set it: the CPU's threads; no chatter; of a GPU as much memory as
 * is needed, float32 that is float32, and the same bits each time.
 */
export const environment = (threads: number): Readonly<Record<string, string>> => ({
  TF_NUM_INTRAOP_THREADS: String(threads),
  TF_NUM_INTEROP_THREADS: '1',
  TF_CPP_MIN_LOG_LEVEL: '2',
  TF_FORCE_GPU_ALLOW_GROWTH: 'true',
  NVIDIA_TF32_OVERRIDE: '0',
  TF_DETERMINISTIC_OPS: '1',
})

const require = createRequire(import.meta.url)
/** An addon that was found: its file is sound, and as it was when it was set up. Errors: `compile`. */
const loadFrom = (place: Place, at: string, hint: string): Effect<Addon> =>
  effect(async (run) => {
    await run(checkLibrary(place.path))
    await run(checkHash(place, 'tensorflow', hint))
    return run(
      TE.tryCatch(
        async () => {
          for (const [name, value] of Object.entries(environment(threadsHere())))
            process.env[name] = process.env[name] ?? value
          const found: unknown = require(place.path)
          if (!isAddon(found)) throw new Error('an addon without the functions of tfjs-node')
          return found
        },
        (e) => [
          failure(
            'compile',
            at,
            `TensorFlow, through ${place.path}`,
            reasonOf(e),
            `where it was moved or changed: ${hint}`,
          ),
        ],
      ),
    )
  })

const loaded = new Map<string, Promise<Awaited<ReturnType<Effect<Addon>>>>>()
/** TensorFlow in this process, loaded once. */
export const tensorflow = (at: string, packageName: string, gpu: boolean): Effect<Addon> =>
  effect(async (run) => {
    const place = await run(findAddon(at, packageName, gpu))
    const key = `${place.path} ${place.sha256 ?? ''}`
    const known = loaded.get(key) ?? loadFrom(place, at, gpu ? howToGetGpu : howToGet)()
    loaded.set(key, known)
    return run(() => known)
  })
