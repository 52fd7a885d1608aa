import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readBytes } from '../../src/io/bytes.ts'
import { decodePicture, encodeGrid, type PictureOptions, writeGrid } from '../../src/io/images.ts'
import type { GridLayout } from '../../src/io/pictures.ts'
import { E, pipe, TE } from '../../src/prelude.ts'

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latentgraph-images-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const pixels = async (png: Uint8Array) => {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
  return {
    width: info.width,
    height: info.height,
    at: (x: number, y: number) => [...data.subarray((y * info.width + x) * info.channels).subarray(0, 3)],
  }
}

const draw = async (pictures: Float32Array, layout: GridLayout) => {
  const png = await encodeGrid(pictures, layout)()
  return pixels(E.isRight(png) ? png.right : expect.unreachable(JSON.stringify(png.left)))
}

describe('encodeGrid', () => {
  it('lays pictures out in rows, clamps, scales by nearest, shows NaN', async () => {
    const red = [5, 5, -5, -5, -1, -1]
    const second = [0, Number.NaN, 0, 0, 0, 0]
    const third = [-1, 1, -1, 1, -1, 1]
    const layout = { n: 3, channels: 3, height: 1, width: 2, columns: 2, gap: 1, scale: 3 }
    const grid = await draw(Float32Array.from([...red, ...second, ...third]), layout)
    expect([grid.width, grid.height]).toEqual([2 * 7 + 1, 2 * 4 + 1])
    expect(grid.at(0, 0)).toEqual([255, 255, 255])
    expect(grid.at(1, 1)).toEqual([255, 0, 0])
    expect(grid.at(6, 3)).toEqual([255, 0, 0])
    expect(grid.at(7, 1)).toEqual([255, 255, 255])
    expect(grid.at(8, 1)).toEqual([128, 128, 128])
    expect(grid.at(11, 1)).toEqual([255, 0, 255])
    expect(grid.at(3, 5)).toEqual([0, 0, 0])
    expect(grid.at(4, 7)).toEqual([255, 255, 255])
    expect(grid.at(8, 5)).toEqual([255, 255, 255])
  })

  it('draws one channel as grey, on the background given', async () => {
    const grid = await draw(new Float32Array([-1, 0.2]), {
      n: 1,
      channels: 1,
      height: 2,
      width: 1,
      gap: 1,
      background: [1, 2, 3],
    })
    expect([grid.at(1, 1), grid.at(1, 2), grid.at(0, 0)]).toEqual([
      [0, 0, 0],
      [153, 153, 153],
      [1, 2, 3],
    ])
  })

  it.each([
    [{ n: 1, channels: 2, height: 1, width: 1 }, 2],
    [{ n: 1, channels: 3, height: 1, width: 1 }, 2],
    [{ n: 0, channels: 3, height: 1, width: 1 }, 0],
    [{ n: 1, channels: 3, height: 1, width: 1, scale: 1.5 }, 3],
    [{ n: 1, channels: 3, height: 1, width: 1, gap: -1 }, 3],
  ])('refuses %j with %i values', async (layout, length) => {
    const result = await encodeGrid(new Float32Array(length), layout)()
    expect(result).toMatchObject({ _tag: 'Left', left: [{ tag: 'data' }] })
  })

  it('is written whole', async () => {
    const path = join(dir, 'out', 'grid.png')
    const layout = { n: 1, channels: 3, height: 1, width: 1 }
    expect(E.isRight(await writeGrid(path, new Float32Array(3), layout)())).toBe(true)
    expect(await readdir(join(dir, 'out'))).toEqual(['grid.png'])
    expect((await pixels(await readFile(path))).at(2, 2)).toEqual([128, 128, 128])
  })

  it.each([
    ['a.png', 'png', 0],
    ['a.JPG', 'jpeg', 12],
    ['a.webp', 'webp', 0],
    ['a.avif', 'heif', 0],
    ['a.tif', 'tiff', 0],
  ])('%s is written as its name says', async (name, format, lost) => {
    const path = join(dir, name)
    const picture = Float32Array.from([-1, 0, 1], (x) => x * 0.5)
    expect(
      E.isRight(await writeGrid(path, picture, { n: 1, channels: 3, height: 1, width: 1, gap: 0, scale: 8 })()),
    ).toBe(true)
    expect((await sharp(path).metadata()).format).toBe(format)
    const [r, g, b] = (await pixels(await readFile(path))).at(4, 4)
    for (const [read, written] of [
      [r, 64],
      [g, 128],
      [b, 191],
    ])
      expect(Math.abs((read ?? 0) - (written ?? 0))).toBeLessThanOrEqual(lost)
  })

  it.each(['a.bmp', 'a', 'a.png.', '.png'])('%s is refused, nothing being written', async (name) => {
    const path = join(dir, 'refused', name)
    const result = await writeGrid(path, new Float32Array(3), { n: 1, channels: 3, height: 1, width: 1 })()
    expect(result).toMatchObject({ left: [{ tag: 'file', at: path }] })
    await expect(readdir(join(dir, 'refused'))).rejects.toThrow()
  })
})

describe('decodePicture', () => {
  const decoded = (path: string, options: PictureOptions) =>
    pipe(
      readBytes(path),
      TE.flatMap((bytes) => decodePicture(path, bytes, options)),
    )
  const save = async (
    name: string,
    width: number,
    height: number,
    channels: 1 | 2 | 3 | 4,
    data: readonly number[],
  ) => {
    const path = join(dir, name)
    await sharp(Uint8Array.from(data), { raw: { width, height, channels } }).png().toFile(path)
    return path
  }
  /** In [-1, 1]. */
  const read = async (...args: Parameters<typeof decoded>) => {
    const picture = await decoded(...args)()
    return E.isRight(picture)
      ? [...Float32Array.from(picture.right.colours, (byte) => byte / 127.5 - 1)]
      : expect.unreachable(JSON.stringify(picture.left))
  }

  it('gives planes in [-1, 1] that draw again as they were', async () => {
    const data = Array.from({ length: 4 * 4 * 3 }, (_, i) => (i * 37) % 256)
    const path = await save('rgb.png', 4, 4, 3, data)
    const picture = Float32Array.from(await read(path, { size: 4 }))
    const grid = await draw(picture, { n: 1, channels: 3, height: 4, width: 4, gap: 0 })
    const back = Array.from({ length: 16 }, (_, i) => grid.at(i % 4, Math.floor(i / 4))).flat()
    expect(back).toEqual(data)
  })

  it('composites transparency on the background', async () => {
    const path = await save('alpha.png', 2, 2, 4, Array.from({ length: 4 }, () => [255, 0, 0, 0]).flat())
    expect(await read(path, { size: 2 })).toEqual(Array.from({ length: 12 }, () => 1))
    const black = await read(path, { size: 2, background: [0, 255, 0] })
    expect([black[0], black[4], black[8]]).toEqual([-1, 1, -1])
  })

  it('cuts out the centre, or shows all on the background', async () => {
    const row = [0, 0, 0, 255, 255, 255, 255, 0, 0, 0].slice(1, 9)
    const path = await save(
      'wide.png',
      8,
      4,
      1,
      Array.from({ length: 4 }, () => [0, 0, 255, 255, 255, 255, 0, 0]).flat(),
    )
    expect(row).toHaveLength(8)
    expect(new Set(await read(path, { size: 4 }))).toEqual(new Set([1]))
    const contained = await read(path, { size: 8, fit: 'contain', background: [255, 0, 0] })
    expect([contained[0], contained[64], contained[128]]).toEqual([1, -1, -1])
    expect(contained[64 + 8 * 4]).toBe(-1)
    expect(contained[64 + 8 * 4 + 3]).toBe(1)
  })

  it('reads grey with and without transparency as three equal channels', async () => {
    const grey = await read(await save('grey.png', 1, 1, 1, [51]), { size: 1 })
    expect(new Set(grey).size).toBe(1)
    expect(grey[0]).toBeCloseTo(-0.6, 6)
    expect(await read(await save('grey-alpha.png', 1, 1, 2, [51, 0]), { size: 1 })).toEqual([1, 1, 1])
  })

  it('turns a photograph upright', async () => {
    const path = join(dir, 'turned.jpg')
    const data = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i < 16 * 8 * 3 ? 255 : 0))
    await sharp(data, { raw: { width: 16, height: 16, channels: 3 } })
      .withMetadata({ orientation: 3 })
      .jpeg({ quality: 100 })
      .toFile(path)
    const picture = await read(path, { size: 16 })
    expect(picture[0]).toBeCloseTo(-1, 1)
    expect(picture[255]).toBeCloseTo(1, 1)
  })

  it('names what it cannot read', async () => {
    await writeFile(join(dir, 'broken.png'), 'not a picture')
    for (const name of ['broken.png', 'absent.png'])
      expect(await decoded(join(dir, name), { size: 2 })()).toMatchObject({
        _tag: 'Left',
        left: [{ tag: 'file', at: join(dir, name) }],
      })
  })
})
