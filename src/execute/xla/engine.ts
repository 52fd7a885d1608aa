import { cpus } from 'node:os'
import { type Effect, effect } from '../../error.ts'
import { pipe, TE } from '../../prelude.ts'
import { hashOf } from '../native/recorded.ts'
import { threadsHere } from '../onnx/threads.ts'
import type { Group } from '../ranks/group.ts'
import { waitingFor } from '../waiting.ts'
import { digestOf, keep, keyOf, recall } from './cache.ts'
import {
  type Client,
  compileText,
  createClient,
  deserialised,
  type Loaded,
  overridesFor,
  serialised,
} from './client.ts'
import { deviceMemory, guarded } from './memory.ts'
import { findPlugin, howToGet, type Named } from './places.ts'
import { loadFrom, PluginError } from './plugin.ts'
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
    const options = JSON.stringify(overridesFor(client.platform))
    return { name, client, identity: keyOf(sha256, plugin.version, client.version, processor, options) }
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

/**
 * From so long a compilation on (ms) its result is kept: of a card's always, where compiling once more may take other kernels, as it goes by
 * how long they took, and so other bits.
 */
const longCompilation = ({ platform }: Client): number => (platform === 'cpu' ? 2000 : 0)
/** What a plugin does not write, or does not read any more, is compiled anew. */
const unlessRefused = async <A>(kept: Promise<A>): Promise<A | undefined> => {
  try {
    return await kept
  } catch (e) {
    if (e instanceof PluginError) return undefined
    throw e
  }
}
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
        const key = keyOf(identity, (await digestOf(Buffer.from(text))).toString('hex'))
        const kept = ids === undefined ? await recall(key) : undefined
        const before =
          kept === undefined
            ? undefined
            : await unlessRefused(
                waitingFor(`${name}  loading what was compiled before`, () => deserialised(client, kept)),
              )
        if (before !== undefined) return before
        const begun = performance.now()
        const loaded = await waitingFor(`${name}  compiling ${places.length} operations`, () =>
          compileText(client, text, ids),
        )
        if (ids === undefined && performance.now() - begun >= longCompilation(client)) {
          const written = await unlessRefused(serialised(client, loaded))
          if (written !== undefined) await keep(key, written)
        }
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
