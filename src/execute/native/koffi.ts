import { type Effect, effect, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'

export type Koffi = typeof import('koffi')['default']

const mebibyte = 2 ** 20
/** Calls run on stacks of koffi's own, set in each thread; compilers go deeper than its 128 KiB. Only what is touched is ever in memory. */
export const stacks = { sync_stack_size: 8 * mebibyte, async_stack_size: 8 * mebibyte, resident_async_pools: 4 }

const imported: { koffi?: Koffi } = {}
/** The package that calls libraries. Errors: `compile` where it is not installed. */
export const koffiOf: Effect<Koffi> = TE.tryCatch(
  async () => {
    if (imported.koffi === undefined) {
      imported.koffi = (await import('koffi')).default
      imported.koffi.config(stacks)
    }
    return imported.koffi
  },
  (e) => [failure('compile', 'koffi', 'the package koffi, which calls libraries', reasonOf(e), 'npm install koffi')],
)

const flags = { now: 2, stay: 0x1000 } as const
/**
 * Loads libraries for as long as the process lives: koffi closes what it loaded at exit, and threads and exit handlers of a library then
 * run in memory that is gone. Errors: `compile`, with what the system's loader says.
 */
export const pin = (koffi: Koffi, path: string, names: readonly string[], hint?: string): Effect<void> =>
  effect(async (run) => {
    if (process.platform !== 'linux') return
    await run(
      TE.tryCatch(
        async () => {
          const open = koffi.load(null).func('dlopen', 'void*', ['const char*', 'int'])
          const why = koffi.load(null).func('dlerror', 'const char*', [])
          for (const name of names) {
            // A large library takes a while. What went wrong is told to the thread that tried.
            const opened = await new Promise((resolve) =>
              open.async(name, flags.now | flags.stay, (_: unknown, handle: unknown) => resolve(handle)),
            )
            if (!opened && !open(name, flags.now | flags.stay)) throw new Error(String(why()))
          }
        },
        (e) => [failure('compile', path, 'a library that can be loaded', reasonOf(e), hint)],
      ),
    )
  })
