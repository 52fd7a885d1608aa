import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pixelsOf, tiny, type Workplace, workplace } from './program.ts'

/** Pictures from what is known of them beside pixels: trained on generated shapes, and drawn by a request. */

const held: { place?: Workplace } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
const at = (...path: readonly string[]): string => join(place().dir, ...path)
const slow = { timeout: 300_000 }

const conditions = {
  vector: { conditioning: { kind: 'vector', width: 4 }, attention: { kind: 'self' } },
  boxes: {
    conditioning: {
      ...{ kind: 'boxes', classes: ['circle', 'square', 'triangle', 'cross'] },
      ...{ objects: 4, vocabulary: 64, width: 32, layers: 1 },
    },
    attention: { kind: 'transformer', contextDim: 32 },
  },
}

beforeAll(async () => {
  held.place = await workplace()
  const { $schema: _, diffusion, ...rest } = JSON.parse(await readFile(tiny, 'utf8'))
  for (const [name, { conditioning, attention }] of Object.entries(conditions))
    await writeFile(
      at(`${name}.json`),
      JSON.stringify({
        ...rest,
        data: { kind: 'shapes', size: 16, count: 40, heldOut: 4 },
        firstStage: { kind: 'identity' },
        diffusion: {
          ...diffusion,
          conditioning,
          unet: { ...diffusion.unet, inChannels: 3, outChannels: 3, attention },
        },
      }),
    )
}, 120_000)
afterAll(() => held.place?.dispose())

const drawn = async (run: string, out: string, ...options: readonly string[]): Promise<Buffer> => {
  const { code, err } = await place().here(['sample', run, '--steps', '3', '--count', '1', ...options, '--out', out])
  expect(code, err).toBe(0)
  return pixelsOf(at(out))
}
const said = async (...args: readonly string[]): Promise<string> => {
  const { code, err } = await place().here(args)
  expect(code).not.toBe(0)
  return err
}

test('a model that is told numbers', slow, async () => {
  const { code, err } = await place().run(['train', 'vector.json', '--out', 'numbers'])
  expect(code, err).toBe(0)
  const one = await drawn('numbers', 'one.png', '--vector', '1,0.3,0.5,0.5')
  expect((await drawn('numbers', 'four.png', '--vector', '4,0.15,0.2,0.8')).equals(one)).toBe(false)
  expect(await said('sample', 'numbers', '--out', 'no.png')).toContain('4 numbers')
  expect(await said('sample', 'numbers', '--vector', '1,2', '--out', 'no.png')).toContain('4 numbers')
  expect(await said('sample', 'numbers', '--boxes', '0,0,1,1 circle', '--out', 'no.png')).toContain('no boxes')
  expect(await said('train', 'vector.json', '--set', '/diffusion/conditioning/width=3')).toContain('3 numbers')
})

test('a model that is told what is where', slow, async () => {
  const { code, err } = await place().here(['train', 'boxes.json', '--out', 'where'])
  expect(code, err).toBe(0)
  const one = await drawn('where', 'one.png', '--boxes', '0.1,0.1,0.5,0.5 circle')
  const two = await drawn('where', 'two.png', '--boxes', '0.1,0.1,0.5,0.5 circle; 0.5,0.5,0.9,0.9 cross')
  expect(two.equals(one)).toBe(false)
  await writeFile(at('one.json'), JSON.stringify([{ box: [0.1, 0.1, 0.5, 0.5], class: 0 }]))
  expect((await drawn('where', 'same.png', '--boxes', 'one.json')).equals(one)).toBe(true)
  expect(await said('sample', 'where', '--boxes', '0,0,1,1 cat', '--out', 'no.png')).toContain('one of 4 classes')
  const flipped = ['--set', '/diffusion/training/flip=true', '--out', 'flipped']
  expect(await said('train', 'boxes.json', ...flipped)).toContain('boxes are not mirrored')
})
