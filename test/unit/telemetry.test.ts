import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

/** ONNX Runtime's package, loaded by processes of their own, whose home, cache and temporary folders are empty. */

const held: { folder?: string } = {}
beforeAll(async () => {
  held.folder = await mkdtemp(join(tmpdir(), 'latentgraph-telemetry-'))
})
afterAll(() => rm(held.folder ?? '', { recursive: true }))

const file = new URL('../../src/execute/onnx/package.js', import.meta.url).href
/** A session is begun, which is when the runtime starts to report. */
const begun = `
  const { load } = await import('${file}')
  const { InferenceSession } = await load()
  await InferenceSession.create(new Uint8Array(1)).catch(() => {})`
const inThread = (code: string, options: string): string => `
  const { Worker } = await import('node:worker_threads')
  new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(code)})), ${options})`

const run = async (code: string, set: Readonly<Record<string, string>> = {}) => {
  const folder = await mkdtemp(join(held.folder ?? '', 'run-'))
  const [home, cache, tmp] = ['home', 'cache', 'tmp'].map((f) => join(folder, f))
  for (const path of [home, cache, tmp]) await mkdir(path ?? '')
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
    encoding: 'utf8',
    env: { ...env, ...set, HOME: home, XDG_CACHE_HOME: cache, TMPDIR: tmp },
  })
  return { status, stdout, stderr, left: await readdir(folder, { recursive: true }) }
}

test.each([
  ['the main thread', begun],
  ['a thread', inThread(begun, '{}')],
  ['a thread with an environment of its own', inThread(begun, "{ env: { ORT_DISABLE_TELEMETRY: '1' } }")],
  ['a thread of a thread', inThread(inThread(begun, '{}'), '{}')],
])('loaded in %s it leaves nothing behind', async (_, code) => {
  expect(await run(code)).toEqual({ status: 0, stdout: '', stderr: '', left: ['cache', 'home', 'tmp'] })
})

test('what the user has set stays', async () => {
  const { stdout } = await run(`${begun}\nconsole.log(process.env.ORT_DISABLE_TELEMETRY)`, {
    ORT_DISABLE_TELEMETRY: 'yes',
  })
  expect(stdout).toBe('yes\n')
})
