import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeCompVis } from '../../src/pipelines/write.ts'
import { E } from '../../src/prelude.ts'
import { modelOf } from '../unit/published-models.ts'
import { pixelsOf, type Workplace, workplace } from './program.ts'

/** Published models that draw by something else than texts: imported, and drawn from. */

const held: { place?: Workplace } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
const at = (...path: readonly string[]): string => join(place().dir, ...path)
const slow = { timeout: 300_000 }
beforeAll(async () => {
  held.place = await workplace()
}, 120_000)
afterAll(() => held.place?.dispose())

const imported = async (name: Parameters<typeof modelOf>[0], run: string): Promise<string> => {
  expect(E.isRight(await writeCompVis(at(`${run}.safetensors`), modelOf(name), false)())).toBe(true)
  const { code, err } = await place().here(['import', `${run}.safetensors`, '--out', run])
  expect(code, err).toBe(0)
  return err
}
const drawn = async (run: string, ...options: readonly string[]) => {
  const out = `${run}-${options.length}.png`
  const { code, err } = await place().here(['sample', run, '--steps', '2', '--count', '1', ...options, '--out', out])
  expect(code, err).toBe(0)
  return pixelsOf(at(out))
}
const refused = async (...args: readonly string[]): Promise<string> => {
  const { code, err } = await place().here(['sample', ...args, '--out', 'no.png'])
  expect(code).not.toBe(0)
  return err
}

test('label maps say what lies where, and how large a picture is', slow, async () => {
  expect(await imported('label maps', 'maps')).toContain('--label-map map.png')
  const raw = Uint8Array.from({ length: 24 * 16 }, (_, i) => Math.floor((i % 24) / 8))
  await sharp(raw, { raw: { width: 24, height: 16, channels: 1 } })
    .png()
    .toFile(at('map.png'))
  await drawn('maps', '--label-map', 'map.png')
  const { width, height } = await sharp(at('maps-2.png')).metadata()
  expect(width).toBeGreaterThan(height)
  expect(await refused('maps')).toContain('--label-map')
  expect(await refused('maps', '--label-map', 'maps-2.png')).toContain('grey values below 5')
  expect(await refused('maps', '--boxes', '0,0,1,1 2')).toContain('no boxes')
})

test('boxes say what is where, in words or in a file', slow, async () => {
  expect(await imported('boxes', 'layout')).toContain('--boxes')
  const words = await drawn('layout', '--boxes', '0.1,0.2,0.5,0.9 3; 0,0,1,0.4 17')
  await writeFile(
    at('boxes.json'),
    JSON.stringify([
      { box: [0.1, 0.2, 0.5, 0.9], class: 3 },
      { box: [0, 0, 1, 0.4], class: 17 },
    ]),
  )
  expect((await drawn('layout', '--boxes', 'boxes.json', '--seed', '0')).equals(words)).toBe(true)
  expect((await drawn('layout', '--boxes', '0,0,1,0.4 17', '--eta', '0')).equals(words)).toBe(false)
  expect(await refused('layout')).toContain('left,top,right,bottom class')
  expect(await refused('layout', '--boxes', '0,0,1,1 29')).toContain('0 to 28')
})
