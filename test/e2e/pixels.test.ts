import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drawPictures, tiny, type Workplace, workplace } from './program.ts'

/** Diffusion on pictures themselves, told what is known of them: trained, interrupted, drawn by, evaluated, imported. */

const held: { place?: Workplace } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
const at = (...path: readonly string[]): string => join(place().dir, ...path)
const slow = { timeout: 300_000 }
const last = 'diffusion/checkpoints/step-00000012'

beforeAll(async () => {
  held.place = await workplace()
  await drawPictures(at('pictures'))
  const { diffusion, ...rest } = JSON.parse(await readFile(tiny, 'utf8'))
  const experiment = {
    ...rest,
    data: { kind: 'folder', path: 'pictures', size: 16, heldOut: 6 },
    firstStage: { kind: 'identity' },
    diffusion: {
      ...diffusion,
      unet: { ...diffusion.unet, inChannels: 7, outChannels: 3 },
      conditioning: { kind: 'inpainting' },
      training: { ...diffusion.training, flip: true, validate: { every: 6 } },
    },
    sampling: { ...rest.sampling, guidance: 1, perClass: 4 },
  }
  await writeFile(at('pixels.json'), JSON.stringify(experiment))
  const { code, err } = await place().here(['train', 'pixels.json', '--out', 'straight'])
  expect(code, err).toBe(0)
  expect(err).toContain('pictures, not encoded: [3, 16, 16], multiplied by 1.0000')
  expect(err).toMatch(/from what is known: \d+\.\d+ dB PSNR of 4 held-out pictures/)
}, 300_000)
afterAll(() => held.place?.dispose())

test('leaves no first stage, and shows what is known, what is drawn and what is true', async () => {
  const found = await readdir(at('straight'))
  for (const name of ['first-stage', 'reconstructions.png', 'prior-samples.png']) expect(found).not.toContain(name)
  const side = (n: number): number => 2 * (16 * n + n + 1)
  const { width, height } = await sharp(at('straight/samples.png')).metadata()
  expect([width, height]).toEqual([side(4), side(3)])
  const html = await readFile(at('straight/report.html'), 'utf8')
  expect(html).toContain('<li>what is known</li><li>ours</li><li>true</li>')
  expect(html).not.toMatch(/undefined|\bNaN\b|\[object|Inputs and reconstructions/)
  const metrics = await readFile(at('straight/diffusion/metrics.jsonl'), 'utf8')
  expect(metrics.match(/val\/loss_ema/g)).toHaveLength(2)
})

test('killed and resumed, equals a run that was not', slow, async () => {
  const first = await place().run(['train', 'pixels.json', '--out', 'killed'], {
    signal: 'SIGKILL',
    when: 'killed/diffusion/checkpoints/step-00000004',
  })
  expect(first.signal).toBe('SIGKILL')
  expect((await place().run(['train', 'pixels.json', '--out', 'killed', '--resume'])).code).toBe(0)
  for (const name of ['samples.png', 'diffusion/metrics.jsonl', `${last}/parameters.safetensors`])
    expect((await readFile(at('killed', name))).equals(await readFile(at('straight', name))), name).toBe(true)
})

test('fills in what a mask is white on, and leaves the rest as it is', slow, async () => {
  const picture = 'pictures/disc/03.png'
  const white = Uint8Array.from({ length: 256 }, (_, i) => (i % 16 < 8 ? 255 : 0))
  await sharp(white, { raw: { width: 16, height: 16, channels: 1 } })
    .png()
    .toFile(at('mask.png'))
  const sample = (...more: readonly string[]) => place().here(['sample', 'straight', '--out', 'a.png', ...more])
  expect((await sample()).err).toMatch(/^--from\n {2}expected a picture, and a mask/)
  expect((await sample('--from', picture)).err).toMatch(/^--mask\n/)
  const { code, err } = await sample('--from', picture, '--mask', 'mask.png', '--count', '1')
  expect(code, err).toBe(0)
  const drawn = await sharp(at('a.png'))
    .removeAlpha()
    .extract({ left: 2 + 16, top: 2, width: 16, height: 32 })
    .raw()
    .toBuffer()
  const shown = await sharp(at(picture))
    .flatten({ background: '#fff' })
    .extract({ left: 8, top: 0, width: 8, height: 16 })
    .resize(16, 32, { kernel: 'nearest' })
    .removeAlpha()
    .raw()
    .toBuffer()
  expect(drawn.equals(shown)).toBe(true)
})

test('is evaluated without reconstructions', slow, async () => {
  const { code, out, err } = await place().here(['evaluate', 'straight', '--count', '8', '--steps', '2'])
  expect(code, err).toBe(0)
  expect(out).not.toContain('reconstructions of')
  expect(out).toMatch(/^pixels +8 \/ 18 /m)
})

test('its U-Net is imported, and draws', slow, async () => {
  const parameters = `straight/${last}/parameters.safetensors`
  const { code, err } = await place().here(['import', parameters, '--into', 'pixels.json', '--out', 'imported'])
  expect(code, err).toBe(0)
  expect(err).toContain('To draw pictures: npx latentgraph sample imported')
  const options = ['--from', 'pictures/disc/03.png', '--mask', 'mask.png', '--count', '1']
  expect((await place().here(['sample', 'imported', '--out', 'b.png', ...options])).code).toBe(0)
})
