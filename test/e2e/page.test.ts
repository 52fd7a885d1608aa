import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import sharp from 'sharp'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exportWeb } from '../../src/cli/export-web.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { loadRun } from '../../src/run/loaded.ts'
import { readSite } from '../../src/serve/site.ts'
import { skipped } from '../arbitrary/executors.ts'
import { right } from '../arbitrary/run.ts'
import { howToInstall, installed } from '../chromium.ts'
import { fake, listen, serving, side } from '../unit/serve-fakes.ts'

/** The page in Chromium: served, of a model that costs nothing; and by itself, of a model that comes along, with the network cut off. */

const shapes = join(import.meta.dirname, '../../packages/models/shapes')
const configFile = join(import.meta.dirname, '../../page/vite.config.ts')
const inFolder = '/some/where/'

const types: Readonly<Record<string, string>> = {
  ...{ '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm' },
}
/** A server of files below a path, which knows nothing else. */
const filesOf = async (folder: string): Promise<Server> => {
  const server = createServer(async ({ url = '' }, response) => {
    const { pathname } = new URL(url, 'http://x')
    const name = pathname.startsWith(inFolder) ? pathname.slice(inFolder.length) || 'index.html' : '?'
    const bytes = await readFile(join(folder, name)).catch(() => undefined)
    response.writeHead(bytes === undefined ? 404 : 200, { 'content-type': types[extname(name)] ?? 'text/plain' })
    response.end(bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

const held: {
  folder?: string
  browser?: Browser
  served?: string
  static?: string
  close: (() => unknown)[]
} = { close: [] }

/** A page, what it asked for, and what it should not have done: said anything on the console, or asked another. */
const visit = async (url: string | undefined, options: BrowserContextOptions) => {
  if (url === undefined || held.browser === undefined) throw new Error('no page')
  const context = await held.browser.newContext(options)
  const page = await context.newPage()
  const [amiss, asked]: [string[], string[]] = [[], []]
  page.on('console', (m) => amiss.push(m.text()))
  page.on('pageerror', (e) => amiss.push(e.message))
  page.on('request', (r) => {
    if (/^(blob|data):/.test(r.url())) return
    asked.push(r.url())
    if (!r.url().startsWith(url)) amiss.push(`foreign: ${r.url()}`)
  })
  await page.goto(url)
  return { page, amiss, asked, close: () => context.close() }
}

const drawByKeyboard = async (page: Page, text: string, says: RegExp): Promise<void> => {
  await page.getByRole('textbox', { name: 'Prompt' }).focus()
  await page.keyboard.type(text)
  await page.keyboard.press('Enter')
  await page.getByRole('status').filter({ hasText: says }).waitFor()
}
/** Nothing is wider than the page. */
const fits = async (page: Page, width: number): Promise<void> =>
  expect(await page.locator('html').evaluate(({ scrollWidth }) => scrollWidth)).toBe(width)

const inChromium = (executablePath: string): void => {
  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'latentgraph-page-'))
    held.folder = folder
    await build({ configFile, build: { outDir: join(folder, 'page') }, logLevel: 'error' })
    const app = await serving('r', fake(undefined, 5), { site: right(await readSite(join(folder, 'page'))()) })
    held.served = `http://127.0.0.1:${await listen(app)}/`
    const options = { half: true, page: join(folder, 'page') }
    const quiet = { out: () => undefined, err: () => undefined }
    right(await exportWeb(shapes, join(folder, 'site'), options, quiet)())
    const files = await filesOf(join(folder, 'site'))
    held.static = `http://127.0.0.1:${portOf(files)}${inFolder}`
    held.close.push(
      () => app.close(),
      () => files.close(),
    )
    const cutOff = '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'
    held.browser = await chromium.launch({ executablePath, args: ['--no-sandbox', cutOff] })
  }, 120_000)
  afterAll(async () => {
    await held.browser?.close()
    for (const close of held.close) await close()
    if (held.folder !== undefined) await rm(held.folder, { recursive: true, force: true })
  })

  test.each([
    [360, 'light'],
    [1600, 'dark'],
  ] as const)('served: draws by keyboard alone, %i pixels wide, %s', async (width, colorScheme) => {
    const { page, amiss, close } = await visit(held.served, { viewport: { width, height: 740 }, colorScheme })
    await drawByKeyboard(page, 'a red circle', /4 pictures drawn/)
    expect(await page.getByRole('list', { name: 'Film strip' }).getByRole('button').count()).toBe(5)
    await page.getByLabel(/How picture 1 came/).press('Home')
    await page.getByText('step 1 of 5').waitFor()
    await page.getByText('The same again').first().press('Enter')
    await page.getByText("npx latentgraph sample r --prompt 'a red circle'").first().waitFor()
    await fits(page, width)
    expect(amiss).toEqual([])
    await close()
  })

  test('served: a picture is chosen, painted on and drawn on from; between two seeds', async () => {
    const { page, amiss, close } = await visit(held.served, { viewport: { width: 360, height: 740 } })
    await page.getByRole('textbox', { name: 'Prompt' }).fill('x')
    await page.getByLabel('A picture').click()
    const buffer = await sharp({ create: { width: 40, height: 20, channels: 3, background: '#c33' } })
      .jpeg()
      .toBuffer()
    await page.locator('input[type=file]').setInputFiles({ name: 'red.jpg', mimeType: 'image/jpeg', buffer })
    const canvas = page.getByRole('button', { name: 'Where the picture is drawn anew' })
    await canvas.scrollIntoViewIfNeeded()
    const box = await canvas.boundingBox()
    if (box === null) throw new Error('no canvas')
    await page.mouse.move(box.x + box.width / 4, box.y + box.height / 4)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 4, { steps: 4 })
    await page.mouse.up()
    const painted = page.getByRole('status').filter({ hasText: '% painted' })
    await painted.waitFor()
    const byMouse = await painted.textContent()
    await canvas.press('ArrowDown')
    await canvas.press(' ')
    expect(await painted.textContent()).not.toBe(byMouse)
    const sent = page.waitForRequest(/sample$/)
    await page.getByRole('button', { name: 'Draw', exact: true }).click()
    const { from } = (await sent).postDataJSON()
    expect(from).toMatchObject({ kind: 'picture', strength: 1 })
    const mask = await sharp(Buffer.from(from.mask, 'base64')).greyscale().raw().toBuffer({ resolveWithObject: true })
    expect([mask.info.width, mask.info.height]).toEqual([side, side])
    expect([...new Set(mask.data)].toSorted((a, b) => a - b)).toEqual([0, 255])
    expect(mask.data[2 * side + 3]).toBe(255)
    await page.getByText('mask.png', { exact: true }).first().waitFor({ state: 'attached' })
    await page.getByLabel('Two seeds').click()
    await page.getByLabel('To seed').fill('9')
    await page.getByRole('button', { name: 'Draw', exact: true }).click()
    await page.getByText('seeds 3 to 9').waitFor()
    await fits(page, 360)
    expect(amiss).toEqual([])
    await close()
  })

  test('by itself, cut off, below a path: the same picture as in Node; its files are fetched once', async () => {
    const { page, amiss, asked, close } = await visit(held.static, {
      viewport: { width: 360, height: 740 },
      colorScheme: 'dark',
    })
    await page.getByRole('spinbutton', { name: 'Pictures' }).fill('1')
    await page.getByRole('spinbutton', { name: 'Steps' }).fill('2')
    await drawByKeyboard(page, 'a red circle', /1 picture drawn/)
    const url = await page.locator('.thumbs img').getAttribute('src')
    const file = await page.evaluate(
      async (src) => [...new Uint8Array(await (await fetch(src)).arrayBuffer())],
      url ?? '',
    )
    const drawn = await sharp(Uint8Array.from(file)).removeAlpha().raw().toBuffer()
    const run = right(await loadRun(shapes, { executor: onnx('cpu') })())
    const request = { prompt: 'a red circle', count: 1, steps: 2 }
    const [expected] = right(await run.sample(request)())
    run.dispose()
    const squares = drawn.reduce((sum, x, i) => sum + (x - (expected?.data[i] ?? 0)) ** 2, 0)
    expect(drawn).toHaveLength(expected?.data.length ?? 0)
    expect(10 * Math.log10(255 ** 2 / Math.max(squares / drawn.length, 1e-6))).toBeGreaterThan(40)
    await fits(page, 360)
    await page.getByRole('spinbutton', { name: 'Steps' }).fill('250')
    await page.getByRole('button', { name: 'Draw', exact: true }).click()
    await page.getByText('/250').waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.getByText(/Stopped at step \d+ of 250/).waitFor()
    const large = /\.(wasm|safetensors)\?/
    expect(asked.filter((u) => large.test(u))).toHaveLength(3)
    await page.reload()
    await page.getByText('Draws on one thread').waitFor()
    await page.getByText('The model comes once').waitFor({ state: 'detached' })
    expect(asked.filter((u) => large.test(u))).toHaveLength(3)
    expect(amiss).toEqual([])
    await close()
  })
}

const executablePath = await installed()
if (executablePath === undefined) skipped('the page in Chromium', howToInstall)
else describe('the page in Chromium', () => inChromium(executablePath))
