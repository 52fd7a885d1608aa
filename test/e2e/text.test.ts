import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pixelsOf, tiny, type Workplace, workplace } from './program.ts'

/** Pictures from texts: trained on captions, interrupted, drawn by prompts, evaluated, imported. */

const held: { place?: Workplace } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
const at = (...path: readonly string[]): string => join(place().dir, ...path)
const slow = { timeout: 300_000 }
const last = 'diffusion/checkpoints/step-00000012'

beforeAll(async () => {
  held.place = await workplace()
  const { diffusion, ...rest } = JSON.parse(await readFile(tiny, 'utf8'))
  const experiment = {
    ...rest,
    data: { kind: 'shapes', size: 16, count: 60, heldOut: 6 },
    firstStage: { kind: 'identity' },
    diffusion: {
      ...diffusion,
      unet: { ...diffusion.unet, inChannels: 3, outChannels: 3, attention: { kind: 'transformer', contextDim: 32 } },
      conditioning: { kind: 'text', vocabulary: 128, positions: 14, width: 32, layers: 1 },
      training: { ...diffusion.training, validate: { every: 6 } },
    },
  }
  await writeFile(at('shapes.json'), JSON.stringify(experiment))
}, 120_000)
afterAll(() => place().dispose())

test('trains on captions, and goes on where it was interrupted with the same bits', slow, async () => {
  const { code, out, err } = await place().here(['train', 'shapes.json', '--out', 'straight'])
  expect(code, out + err).toBe(0)
  const train = ['train', 'shapes.json', '--out', 'killed']
  await place().run(train, { signal: 'SIGKILL', when: at('killed', 'diffusion/checkpoints/step-00000004') })
  const resumed = await place().run([...train, '--resume'])
  expect(resumed.code, resumed.err).toBe(0)
  for (const name of ['samples.png', 'words.json', 'diffusion/metrics.jsonl', `${last}/parameters.safetensors`])
    expect((await readFile(at('killed', name))).equals(await readFile(at('straight', name))), name).toBe(true)
  expect(await readFile(at('straight/report.html'), 'utf8')).toMatch(/by captions of pictures.*a (red|green|blue|\w+) /)
})

test('draws by prompts, a row of each', slow, async () => {
  const sample = (...more: readonly string[]) => place().here(['sample', 'straight', '--out', 'a.png', ...more])
  expect((await sample()).err).toMatch(/^--prompt\n {2}expected what is to be drawn/)
  expect((await sample('--class', 'Objects')).err).toMatch(/^--class\n {2}expected no class/)
  const { code, err } = await sample('--prompt', 'a red circle', '--prompt', 'a mauve 円', '--count', '3')
  expect(code, err).toBe(0)
  expect(err).toContain('told by their letters, as no caption had them: "mauve"')
  expect(err).toContain('not told at all, as they are no letters that are known: "円"')
  expect(await sharp(at('a.png')).metadata()).toMatchObject({ width: 2 + 3 * 34, height: 2 + 2 * 34 })
  await writeFile(at('prompts.txt'), 'a red circle\n\na mauve 円\n')
  expect(
    (await place().here(['sample', 'straight', '--prompts', 'prompts.txt', '--count', '3', '--out', 'b.png'])).code,
  ).toBe(0)
  expect((await pixelsOf(at('a.png'))).equals(await pixelsOf(at('b.png')))).toBe(true)
  expect((await place().here(['sample', '--repeat', 'a.png', '--out', 'again.png'])).code).toBe(0)
  expect((await readFile(at('again.png'))).equals(await readFile(at('a.png')))).toBe(true)
  const away = ['--prompt', 'a red circle', '--count', '2']
  await place().here(['sample', 'straight', ...away, '--out', 'c.png'])
  await place().here(['sample', 'straight', ...away, '--negative', '', '--out', 'd.png'])
  await place().here(['sample', 'straight', ...away, '--negative', 'a blue square', '--out', 'e.png'])
  expect((await pixelsOf(at('c.png'))).equals(await pixelsOf(at('d.png')))).toBe(true)
  expect((await pixelsOf(at('c.png'))).equals(await pixelsOf(at('e.png')))).toBe(false)
})

test('draws each picture into a folder, and again by any of them', slow, async () => {
  const asked = ['sample', 'straight', '--prompt', 'a red circle', '--count', '2', '--out', 'each/']
  expect((await place().here(asked)).code).toBe(0)
  expect(await sharp(at('each/2.png')).metadata()).toMatchObject({ width: 16, height: 16 })
  expect((await place().here(['sample', '--repeat', 'each/2.png', '--out', 'again/'])).code).toBe(0)
  for (const name of ['1.png', '2.png'])
    expect((await readFile(at('again', name))).equals(await readFile(at('each', name))), name).toBe(true)
  expect((await place().here(asked)).err).toMatch(/^--out\n {2}expected a folder that is empty or not there yet/)
})

test('is told how many captions are true', slow, async () => {
  const options = ['--count', '8', '--steps', '2', '--captions', '3']
  const { code, out, err } = await place().here(['evaluate', 'straight', ...options])
  expect(code, err).toBe(0)
  expect(out).toMatch(
    /captions that are true of what is drawn by them: 0.0% of 3, 0.0% of 3 about things never trained on/,
  )
})

test('its networks are imported, with their words, and draw', slow, async () => {
  const parameters = `straight/${last}/parameters.safetensors`
  const { code, err } = await place().here(['import', parameters, '--into', 'shapes.json', '--out', 'imported'])
  expect(code, err).toBe(0)
  expect((await readFile(at('imported/words.json'))).equals(await readFile(at('straight/words.json')))).toBe(true)
  const options = ['--prompt', 'a red circle', '--count', '1', '--out', 'f.png']
  expect((await place().here(['sample', 'imported', ...options])).code).toBe(0)
})

test('what is exported draws the same, and cannot be trained', slow, async () => {
  const { code, err } = await place().here(['export', 'straight', '--out', 'slim'])
  expect(code, err).toBe(0)
  const draw = (run: string, out: string) =>
    place().here(['sample', run, '--prompt', 'a red circle', '--count', '2', '--out', out])
  expect((await draw('slim', 'g.png')).code).toBe(0)
  expect((await pixelsOf(at('g.png'))).equals(await pixelsOf(at('c.png')))).toBe(true)
  expect((await place().here(['export', 'straight', '--half', '--out', 'half'])).code).toBe(0)
  expect((await draw('half', 'h.png')).code).toBe(0)
  const [whole, half] = await Promise.all(
    ['slim', 'half'].map((run) => stat(at(run, 'diffusion/weights/parameters.safetensors'))),
  )
  expect((half?.size ?? 0) / (whole?.size ?? 1)).toBeLessThan(0.6)
  const resumed = await place().here(['train', 'shapes.json', '--out', 'slim', '--resume'])
  expect(resumed.err).toMatch(/slim\/diffusion\n {2}expected a stage that can be trained on/)
})

test('pictures without captions cannot be told of', slow, async () => {
  await mkdir(at('plain'))
  for (const [name, background] of Object.entries({ x: '#f00', y: '#0f0' }))
    await sharp({ create: { width: 16, height: 16, channels: 3, background } }).toFile(at(`plain/${name}.png`))
  const { code, err } = await place().here([
    'check',
    'shapes.json',
    '--set',
    '/data={"kind":"folder","path":"plain","size":16}',
  ])
  expect(code).not.toBe(0)
  expect(err).toContain('/diffusion/conditioning/kind')
})
