import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loaded } from '../../src/data/dataset.ts'
import { findFolder, loadFolder } from '../../src/data/folder.ts'
import { loadLabelMaps, withLabelMaps } from '../../src/data/labels.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { right } from '../arbitrary/run.ts'

const state = { folder: '' }
beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-labels-'))
})
afterAll(() => rm(state.folder, { recursive: true }))

const side = 4
const raw = (channels: 1 | 2) => ({ raw: { width: side, height: side, channels } })
/** Every label of 0, ..., 15 once, or as `of` says. */
const written = async (name: string, channels: 1 | 3, of: (i: number) => number): Promise<string> => {
  const folder = await mkdtemp(join(state.folder, 'maps-'))
  const raw = Uint8Array.from({ length: side * side * channels }, (_, i) => of(i))
  await sharp(raw, { raw: { width: side, height: side, channels } })
    .png()
    .toFile(join(folder, name))
  return folder
}

describe('label maps', () => {
  it('have a channel a label, 1 where it is and -1 elsewhere', async () => {
    const { channels, read, n } = right(
      await loadLabelMaps(await written('a.png', 1, (i) => 15 - i), { size: side, labels: 16 })(),
    )
    const { pictures } = right(await read([0])())
    expect([n, channels, pictures.length]).toEqual([1, 16, 16 * 16])
    const at = (label: number, pixel: number) => pictures[16 * label + pixel]
    for (let pixel = 0; pixel < 16; pixel++)
      expect(Array.from({ length: 16 }, (_, label) => at(label, pixel))).toEqual(
        Array.from({ length: 16 }, (_, label) => (label === 15 - pixel ? 1 : -1)),
      )
  })

  it.each([
    [2, [3, 4]],
    [8, [3, 4]],
  ])('keep their labels at another size, %i', async (size, labels) => {
    const maps = right(await loadLabelMaps(await written('a.png', 1, (i) => 3 + (i % 2)), { size, labels: 5 })())
    const { pictures } = right(await maps.read([0])())
    const plane = size * size
    const seen = [0, 1, 2, 3, 4].filter((l) => pictures.subarray(l * plane, (l + 1) * plane).some((x) => x === 1))
    expect(labels).toEqual(expect.arrayContaining(seen))
    expect(pictures.filter((x) => x === 1)).toHaveLength(plane)
  })

  it.each([
    ['a label too many', 1, '5'],
    ['colours', 3, 'colours'],
  ] as const)('are refused with %s', async (_, channels, got) => {
    const folder = await written('a.png', channels, (i) => (channels === 1 ? 5 : i % 3))
    expect(await loadLabelMaps(folder, { size: side, labels: 5 })()).toEqual(
      E.left([expect.objectContaining({ tag: 'data', at: join(folder, 'a.png'), got })]),
    )
  })

  it.each([
    ['16 bits', () => sharp(new Uint16Array(16).fill(3), raw(1)).toColourspace('grey16'), /^16 bits/],
    [
      'transparency',
      () =>
        sharp(
          Uint8Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? 3 : 128)),
          raw(2),
        ),
      /^transparency/,
    ],
  ] as const)('are refused with %s, which would change labels in silence', async (_, of, got) => {
    const folder = await mkdtemp(join(state.folder, 'maps-'))
    await of().png().toFile(join(folder, 'a.png'))
    expect(await loadLabelMaps(folder, { size: side, labels: 5 })()).toEqual(
      E.left([expect.objectContaining({ at: join(folder, 'a.png'), got: expect.stringMatching(got) })]),
    )
  })

  it('belong to pictures of their names: one each, and what is left over is said', async () => {
    const [pictures, maps] = [await written('a.png', 3, (i) => i), await written('a.webp', 1, () => 1)]
    const beside = () =>
      pipe(findFolder(pictures, { size: side }), TE.flatMap(withLabelMaps(maps, { size: side, labels: 3 })), loaded)
    const one = right(await beside()())
    expect(right(await one.read([0])()).maps).toEqual(new Float32Array(16).fill(1))
    expect(one.about(0).sha256).not.toBe(right(await loadFolder(pictures, { size: side })()).about(0).sha256)
    await copyFile(join(maps, 'a.webp'), join(maps, 'b.webp'))
    expect(right(await beside()()).notes).toContain('1 label map without a picture: b.webp')
    await sharp(new Uint8Array(16), raw(1)).png().toFile(join(maps, 'a.png'))
    expect(await beside()()).toMatchObject({ left: [{ at: join(maps, 'a.webp'), got: 'a.png' }] })
  })
})
