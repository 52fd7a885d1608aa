import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { build, type PreviewServer, preview } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Request, train } from '../../examples/browser/training.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { skipped } from '../arbitrary/executors.ts'
import { right } from '../arbitrary/run.ts'
import { howToInstall, installed } from '../chromium.ts'

/** The page of examples/browser in Debian's Chromium: what its executors compute beside what Node's does. */

interface Numbers {
  readonly losses: readonly number[]
  readonly pictures: readonly (readonly number[])[]
}

const whole: Request = {
  ...{ steps: 20, seed: 1, batchSize: 8, levels: 2 },
  ...{ sampleEvery: 20, samplesPerClass: 4, samplingSteps: 12 },
}
/** A software GPU builds each shader for seconds, and takes a second a step. */
const short: Request = {
  ...{ steps: 2, seed: 1, batchSize: 6, levels: 1 },
  ...{ sampleEvery: 2, samplesPerClass: 1, samplingSteps: 1 },
}
const requests = { 'onnx:wasm': whole, 'tfjs:wasm': whole, 'onnx:webgpu': short, 'tfjs:webgpu': short } as const
type Name = keyof typeof requests
const names: readonly Name[] = ['onnx:wasm', 'tfjs:wasm', 'onnx:webgpu', 'tfjs:webgpu']

/** Of losses, relative: float32's rounding, and what 20 updates make of it. Of pixels, whose range is 2. */
const tolerances = { loss: 2e-5, pixel: 2e-4 }

const executablePath = await installed()

/** Chromium as root has no sandbox; WebGPU on Linux is asked for, here on SwiftShader, which Chromium brings. */
const flags = ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan']

const inNode = async (request: Request): Promise<Numbers> => {
  const losses: number[] = []
  const pictures: number[][] = []
  const listener = {
    onReady: () => {},
    onStep: ({ loss }: { readonly loss: number }) => void losses.push(loss),
    onSamples: (_: number, drawn: readonly Float32Array[]) =>
      void pictures.splice(0, Infinity, ...drawn.map((p) => [...p])),
  }
  right(await train(onnx('cpu'), request, listener)())
  return { losses, pictures }
}
const apart = (a: readonly number[], b: readonly number[]): number =>
  a.length === b.length ? Math.max(...a.map((x, i) => Math.abs(x - (b[i] ?? Number.NaN)))) : Infinity
/** The same, each measured against its own size. */
const relative = (a: readonly number[], b: readonly number[]): number =>
  apart(
    a.map((x, i) => x / (b[i] ?? Number.NaN)),
    b.map(() => 1),
  )

const held: { folder?: string; server?: PreviewServer; browser?: Browser } = {}
const served = (): string => {
  const url = held.server?.resolvedUrls?.local[0]
  if (url === undefined) throw new Error('the page is not served')
  return url
}
/** A page, and what it should not have done: said anything on the console, or asked another origin. */
const visit = async (query: string): Promise<{ readonly page: Page; readonly amiss: readonly string[] }> => {
  const page = await held.browser?.newPage()
  if (page === undefined) throw new Error('no browser')
  const amiss: string[] = []
  page.on('console', (m) => amiss.push(`${m.type()}: ${m.text()}`))
  page.on('pageerror', (e) => amiss.push(`uncaught: ${e.message}`))
  page.on('requestfailed', (r) => amiss.push(`failed: ${r.url()}`))
  page.on('request', (r) => {
    if (!/^(blob|data):/.test(r.url()) && !r.url().startsWith(served())) amiss.push(`foreign: ${r.url()}`)
  })
  await page.goto(`${served()}?${query}`)
  return { page, amiss }
}

const trained = async (name: Name): Promise<Numbers> => {
  const { steps, seed, batchSize, levels, sampleEvery, samplesPerClass, samplingSteps } = requests[name]
  const size = `steps=${steps}&seed=${seed}&batch=${batchSize}&levels=${levels}`
  const samples = `every=${sampleEvery}&columns=${samplesPerClass}&sampling=${samplingSteps}`
  const { page, amiss } = await visit(`executor=${name}&${size}&${samples}`)
  await page.getByRole('button', { name: 'Train' }).click()
  const ended = page.locator('#save:visible, #status.fault')
  await ended.waitFor({ timeout: 280_000 })
  if ((await ended.getAttribute('id')) === 'status') throw new Error((await ended.textContent()) ?? '')
  const download = page.waitForEvent('download')
  await page.getByRole('link', { name: 'Save' }).click()
  const numbers: Numbers = JSON.parse(await readFile(await (await download).path(), 'utf8'))
  await page.close()
  expect(amiss).toEqual([])
  return numbers
}

const inChromium = (path: string): void => {
  beforeAll(async () => {
    held.folder = await mkdtemp(join(tmpdir(), 'latentgraph-page-'))
    const configFile = join(import.meta.dirname, '../../examples/browser/vite.config.ts')
    const outDir = join(held.folder, 'site')
    await build({ configFile, build: { outDir }, logLevel: 'error' })
    held.server = await preview({
      configFile,
      build: { outDir },
      preview: { port: 0, host: '127.0.0.1' },
      logLevel: 'error',
    })
    held.browser = await chromium.launch({ executablePath: path, args: flags })
  }, 120_000)
  afterAll(async () => {
    await held.browser?.close()
    await held.server?.close()
    if (held.folder !== undefined) await rm(held.folder, { recursive: true, force: true })
  })

  const expected = new Map<Request, Promise<Numbers>>()
  const ofNode = (request: Request): Promise<Numbers> => {
    const found = expected.get(request) ?? inNode(request)
    expected.set(request, found)
    return found
  }
  test.each(names)(
    '%s trains and samples as Node does',
    async (name) => {
      const [node, browser] = [await ofNode(requests[name]), await trained(name)]
      expect(browser.losses).toHaveLength(requests[name].steps)
      expect(relative(browser.losses, node.losses)).toBeLessThan(tolerances.loss)
      expect(browser.pictures).toHaveLength(node.pictures.length)
      expect(apart(browser.pictures.flat(), node.pictures.flat())).toBeLessThan(tolerances.pixel)
    },
    300_000,
  )

  test('what cannot run here says why, and cannot be chosen', async () => {
    const page = await held.browser?.newPage()
    await page?.addInitScript('delete Navigator.prototype.gpu')
    await page?.goto(served())
    const gpu = page?.getByRole('radio', { name: 'this browser has no WebGPU' })
    expect(await gpu?.count()).toBe(2)
    expect(await gpu?.first().isDisabled()).toBe(true)
    expect(await page?.getByRole('radio', { name: 'WebAssembly' }).first().isEnabled()).toBe(true)
    await page?.close()
  })
}
if (executablePath === undefined) skipped('in Chromium', howToInstall)
else describe('in Chromium', () => inChromium(executablePath))
