import { expect, test } from 'vitest'
import type { Client } from '../../src/execute/xla/client.ts'
import { type Plugin, PluginError } from '../../src/execute/xla/plugin.ts'
import { release } from '../../src/execute/xla/transfers.ts'

/** The engine of a plugin that fails in every call, and what was called. */
const failing = () => {
  const called: string[] = []
  const gone = (name: string): never => {
    called.push(name)
    throw new PluginError(13, `${name} is gone`)
  }
  const plugin: Plugin = {
    ...{ path: '/plugin.so', version: '0.1', addressOf: () => 8n, textAt: () => '', pointersAt: () => [] },
    ...{ bytesAt: () => new Uint8Array(), let: () => {} },
    call: gone,
    later: async (name) => gone(name),
  }
  const client: Client = { plugin, handle: 1n, platform: 'cpu', version: '1', devices: [] }
  return { engine: { name: 'xla:cpu', client, identity: '' }, called }
}

test('what cannot be let go of is a warning, and all else is let go of', async () => {
  const { engine, called } = failing()
  const told: string[] = []
  const listen = ({ message }: Error): void => void told.push(message)
  process.on('warning', listen)
  await release(engine, [{ x: [1n] }, { y: [2n] }], { handle: 3n, outputs: 1 })
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', listen)
  expect(called).toEqual(['Buffer_Destroy', 'Buffer_Destroy', 'LoadedExecutable_Destroy'])
  expect(told).toEqual(called.map((name) => `xla:cpu: memory was not given back: ${name} is gone`))
})
