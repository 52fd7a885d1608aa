import { type Effect, effect } from '../../error.ts'
import { E, pipe, type Task, TE } from '../../prelude.ts'
import type { Finding, Found } from '../decide.ts'
import { namedPlugins } from './places.ts'

/** What a platform is, once a graph was compiled on it. */
const described = (platform: string): Effect<string> =>
  effect(async (run) => {
    const { deviceMemory, gibibytes } = await import('./memory.ts')
    const { engineOf } = await import('./engine.ts')
    const { xla } = await import('./index.ts')
    const { ready } = await import('../ready.ts')
    const { client } = await run(engineOf(platform))
    await run(ready(xla(platform)))
    const memory = deviceMemory(client)
    const kinds = [...new Set(client.devices.map(({ kind }) => kind))].join(', ')
    const devices = `${client.devices.length} ${client.devices.length === 1 ? 'device' : 'devices'} (${kinds})`
    return [
      `PJRT ${client.plugin.version}`,
      devices,
      ...(memory === undefined ? [] : [`${gibibytes(memory.limit)} each, ${gibibytes(memory.inUse)} in use`]),
      client.plugin.path,
    ].join(', ')
  })

/** Whether a platform is there, and which devices, or why it is not and how to get it. */
export const lookForPlatform =
  (platform: string): Task<Found> =>
  async () => {
    const found = await described(platform)()
    if (E.isRight(found)) return { usable: true, what: found.right }
    const [{ at, got, hint }] = found.left
    const [line = ''] = got.split('\n')
    const place = at === `xla:${platform}` ? '' : `${at}: `
    return { usable: false, what: `${place}${line}${hint === undefined ? '' : ` (${hint})`}` }
  }

/** Platforms for which a plugin was named, in the order of their names' mention. */
export const namedPlatforms: Task<readonly string[]> = pipe(
  namedPlugins,
  TE.match(
    () => [],
    (named) => [...new Set(named.map(({ platform }) => platform))],
  ),
)

/** The accelerators that plugins were named for. The CPU is none: there others are faster. */
export const lookForAccelerators: Task<readonly Finding[]> = async () => {
  const findings: Finding[] = []
  for (const platform of await namedPlatforms())
    if (platform !== 'cpu') findings.push({ name: `xla:${platform}`, ...(await lookForPlatform(platform)()) })
  return findings
}
