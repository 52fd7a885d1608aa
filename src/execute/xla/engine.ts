import { cpus } from 'node:os'
import { type Effect, effect } from '../../error.ts'
import { pipe, TE } from '../../prelude.ts'
import { hashOf } from '../native/recorded.ts'
import { threadsHere } from '../onnx/threads.ts'
import type { Group } from '../ranks/group.ts'
import { waitingFor } from '../waiting.ts'
import { keep, keyOf, recall } from './cache.ts'
import { type Client, compileText, createClient, deserialised, type Loaded, serialised } from './client.ts'
import { deviceMemory, guarded } from './memory.ts'
import { findPlugin, howToGet, type Named } from './places.ts'
import { loadFrom } from './plugin.ts'
import type { Program } from './program.ts'

/** A platform that is ready: its client, and what tells compiled programs of it from others'. */
export interface Engine {
  /** `xla:cpu` */
  readonly name: string
  readonly client: Client
  readonly identity: string
}

/** XLA's CPU client makes its threads when it is made, as many as this says. */
const threadsVariable = 'NPROC'

const opened = (place: Named, devices: number, group: Group | undefined): Effect<Engine> =>
  effect(async (run) => {
    const name = `xla:${place.platform}`
    const plugin = await run(loadFrom(place))
    const client = await run(
      guarded('compile', name, async () => {
        const before = process.env[threadsVariable]
        process.env[threadsVariable] = before ?? String(threadsHere())
        try {
          return await createClient(plugin, place.platform, devices, group)
        } finally {
          if (before === undefined) delete process.env[threadsVariable]
        }
      }),
    )
    const sha256 = await run(hashOf(place.path, howToGet))
    const processor = [cpus()[0]?.model ?? '', process.arch, ...client.devices.map(({ kind }) => kind)].join(' ')
    return { name, client, identity: keyOf(sha256, plugin.version, client.version, processor) }
  })

const engines = new Map<string, Promise<Awaited<ReturnType<Effect<Engine>>>>>()
/** The engine of a platform, of so many of its devices, with those of a group's; its plugin is loaded once. Errors: `compile`. */
export const engineOf = (platform: string, devices = 1, group?: Group): Effect<Engine> =>
  effect(async (run) => {
    const place = await run(findPlugin(platform))
    const key = `${place.path} ${place.sha256 ?? ''} ${devices} ${group === undefined ? 'alone' : 'joined'}`
    const known = engines.get(key) ?? opened(place, devices, group)()
    engines.set(key, known)
    return run(() => known)
  })

/** From so long a compilation on (ms) its result is kept. */
const longCompilation = 2000
/** XLA names lines of the text: `-:12:7: error: ...`. */
const lineNamed = /^\S*:(\d+):\d+: error: (.*)/m
/**
 * A program for devices of these numbers, from the disk where it was compiled before for this process's own. Errors: `compile`, at the node
 * whose line XLA names.
 */
export const loadProgram = (
  { name, client, identity }: Engine,
  { text, places }: Program,
  ids?: readonly number[],
): Effect<Loaded> =>
  pipe(
    guarded(
      'compile',
      name,
      async () => {
        const key = keyOf(identity, text)
        const kept = ids === undefined ? await recall(key) : undefined
        if (kept !== undefined)
          return waitingFor(`${name}  loading what was compiled before`, () => deserialised(client, kept))
        const begun = performance.now()
        const loaded = await waitingFor(`${name}  compiling ${places.length.toLocaleString('en-US')} operations`, () =>
          compileText(client, text, ids),
        )
        if (ids === undefined && performance.now() - begun > longCompilation)
          await keep(key, await serialised(client, loaded))
        return loaded
      },
      () => deviceMemory(client),
    ),
    TE.mapLeft(([first, ...rest]) => {
      const [, line, reason] = lineNamed.exec(first.got) ?? []
      const place = places[Number(line) - 1] ?? ''
      return place === '' || reason === undefined ? [first, ...rest] : [{ ...first, at: place, got: reason }, ...rest]
    }),
  )
