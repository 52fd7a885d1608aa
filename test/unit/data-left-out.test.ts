import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { labelsOf, split } from '../../src/data/dataset.ts'
import { loadFolder } from '../../src/data/folder.ts'
import { type LatentError, showErrors } from '../../src/error.ts'
import { E } from '../../src/prelude.ts'

/** Nothing of a folder is left out, ignored or guessed in silence. */

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latentgraph-left-out-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const at = (path: string): string => join(dir, path)
const put = async (path: string, content: string | Uint8Array): Promise<void> => {
  await mkdir(dirname(at(path)), { recursive: true })
  await writeFile(at(path), content)
}
/** 4x4 pixels, others for each seed. */
const picture = (seed: number) =>
  sharp(
    Uint8Array.from({ length: 48 }, (_, i) => (seed * 37 + i * (seed + 3)) % 256),
    { raw: { width: 4, height: 4, channels: 3 } },
  )
const png = async (path: string, seed: number) => put(path, await picture(seed).png().toBuffer())
const metadata = (...lines: readonly unknown[]) =>
  put('metadata.jsonl', lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'))

const load = async () => {
  const found = await loadFolder(dir, { size: 4 })()
  return E.isRight(found) ? found.right : expect.unreachable(showErrors(found.left))
}
const known = async () => {
  const { n, about, classes, notes } = await load()
  return { names: Array.from({ length: n }, (_, i) => about(i).name), classes, notes }
}
const errors = async (): Promise<readonly LatentError[]> => {
  const found = await loadFolder(dir, { size: 4 })()
  return E.isLeft(found) ? found.left.map((e) => ({ ...e, at: e.at.slice(dir.length + 1) })) : expect.unreachable()
}

describe('what is taken', () => {
  it('folders, files and metadata behind links', async () => {
    const other = await mkdtemp(join(tmpdir(), 'latentgraph-elsewhere-'))
    await png('cats/a.png', 1)
    await writeFile(join(other, 'b.png'), await picture(2).png().toBuffer())
    await symlink(other, at('dogs'))
    await symlink(join(other, 'b.png'), at('cats/linked.png'))
    const { names, classes } = await known()
    expect([names, classes]).toEqual([
      ['cats/a.png', 'cats/linked.png', 'dogs/b.png'],
      ['cats', 'dogs'],
    ])
    await writeFile(join(other, 'lines'), '{"file_name": "dogs/b.png"}')
    await symlink(join(other, 'lines'), at('metadata.jsonl'))
    expect((await known()).names).toEqual(['dogs/b.png'])
    await rm(other, { recursive: true })
  })

  it('every format that is decoded, whatever the case of its ending', async () => {
    for (const [i, ending] of ['jpg', 'JPEG', 'jfif', 'jpe', 'JPE'].entries())
      await put(`${i}.${ending}`, await picture(i).jpeg().toBuffer())
    await put('5.webp', await picture(5).webp().toBuffer())
    await put('6.avif', await picture(6).avif().toBuffer())
    await put('7.tif', await picture(7).tiff().toBuffer())
    await put('8.GIF', await picture(8).gif().toBuffer())
    await put('9.svg', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><rect width="3" height="4"/></svg>')
    const { names } = await known()
    expect(names).toHaveLength(10)
  })

  it('pictures under another name, which is said', async () => {
    await png('a.png', 1)
    await put('b.jpg_large', await picture(2).jpeg().toBuffer())
    await put('c', await picture(3).png().toBuffer())
    await put('d.heic', await picture(4).jpeg().toBuffer())
    await put('e.bmp', await picture(5).png().toBuffer())
    const { names, notes } = await known()
    expect(names).toEqual(['a.png', 'b.jpg_large', 'c', 'd.heic', 'e.bmp'])
    expect(notes).toEqual(['taken for what they are, not for their names: 2 pictures, such as b.jpg_large and c'])
  })

  it('folders inside a class folder, of its class, which is said', async () => {
    await png('a/1.png', 1)
    await png('a/deep/er/2.png', 2)
    await png('b/3.png', 3)
    const dataset = await load()
    expect(labelsOf(dataset)).toEqual(Int32Array.of(0, 0, 1))
    expect(dataset.notes).toEqual(['pictures of 1 folder inside class folders count to the class: a/deep/er'])
  })

  it('CMYK, 16 bits, grey, a palette and transparency alike', async () => {
    const flat = (channels: 1 | 3, bits: 8 | 16 = 8) =>
      sharp(bits === 8 ? new Uint8Array(16 * channels).fill(200) : new Uint16Array(16 * channels).fill(200 * 257), {
        raw: { width: 4, height: 4, channels },
      })
    await put('a.png', await flat(3).png().toBuffer())
    await put('b.png', await flat(1).toColourspace('b-w').png().toBuffer())
    await put('c.png', await flat(3, 16).toColourspace('rgb16').png().toBuffer())
    await put('d.png', await flat(3).png({ palette: true }).toBuffer())
    await put('e.tiff', await flat(3).toColourspace('cmyk').tiff().toBuffer())
    const { n, read } = await load()
    const batch = await read([0, 1, 2, 3, 4])()
    const { pictures } = E.isRight(batch) ? batch.right : expect.unreachable()
    const first = Array.from({ length: n }, (_, i) => Math.round(((pictures[i * 48] ?? 0) + 1) * 127.5))
    expect(first.slice(0, 4)).toEqual([200, 200, 200, 200])
    expect(Math.abs((first[4] ?? 0) - 200)).toBeLessThan(12)
  })
})

describe('what is said', () => {
  it('what systems and editors leave behind is no picture and no class', async () => {
    await png('cats/a.png', 1)
    await png('dogs/a.png', 2)
    for (const path of [
      'cats/._a.png',
      '__MACOSX/cats/._a.png',
      '.DS_Store',
      'cats/Thumbs.db',
      '.git/x.png',
      '@eaDir/y.png',
    ])
      await put(path, 'nothing')
    await put('cats/b.png.crdownload', 'half')
    const { names, classes, notes } = await known()
    expect([names, classes]).toEqual([
      ['cats/a.png', 'dogs/a.png'],
      ['cats', 'dogs'],
    ])
    expect(notes).toEqual([
      'left out 6 (hidden, or left by the system or an editor), such as .DS_Store and .git',
      'left out 1 (unfinished downloads or backups): cats/b.png.crdownload',
    ])
  })

  it('pictures that cannot be decoded are counted by their kind', async () => {
    await png('a/a.png', 1)
    for (const i of [1, 2, 3]) await put(`a/${i}.bmp`, 'BM and more')
    await put('a/b.HEIC', '....ftypheic')
    await put('a/c.nef', 'II*')
    await put('a/d.txt', 'notes')
    expect((await known()).notes).toEqual([
      'left out 5 (pictures of a kind that cannot be decoded here; convert them to PNG or JPEG, .bmp 3, .heic 1, .nef 1), such as a/1.bmp and a/2.bmp',
      'left out 1 (no pictures, .txt 1): a/d.txt',
    ])
  })

  it('links to nothing and links into themselves end nowhere', async () => {
    await png('a/a.png', 1)
    await symlink(dir, at('a/up'))
    await symlink(at('a'), at('a/self'))
    await symlink('/nowhere/at/all', at('a/gone.png'))
    const { names, notes } = await known()
    expect(names).toEqual(['a/a.png'])
    expect(notes).toEqual([
      'left out 1 (links to nothing): a/gone.png',
      'left out 2 (links to a folder that they lie in), such as a/self and a/up',
    ])
  })

  it('a class whose pictures cannot be decoded is an error that says so', async () => {
    await png('a/a.png', 1)
    await put('b/b.bmp', 'BM')
    const [error, ...others] = await errors()
    expect(others).toEqual([])
    expect(error).toMatchObject({ at: 'b', expected: 'pictures of the class' })
    expect(error?.got).toMatch(/^none; left out 1 \(pictures of a kind that cannot be decoded/)
  })

  it('the first frame of several, the middle of a rectangle, what is enlarged, what is transparent', async () => {
    const frames = await Promise.all([1, 2].map((seed) => picture(seed).png().toBuffer()))
    await put(
      'a.gif',
      await sharp(frames, { join: { animated: true } })
        .gif()
        .toBuffer(),
    )
    await put(
      'b.png',
      await sharp({ create: { width: 9, height: 5, channels: 3, background: 'red' } })
        .png()
        .toBuffer(),
    )
    await put(
      'c.png',
      await sharp({ create: { width: 2, height: 2, channels: 3, background: 'red' } })
        .png()
        .toBuffer(),
    )
    const notes = (await known()).notes.join('\n')
    expect(notes).toContain('1 picture of several frames or pages: the first is taken: a.gif')
    expect(notes).toContain('1 picture not square: the middle is taken: b.png')
    expect(notes).toContain('1 picture smaller than 4x4: enlarged: c.png')
  })

  it('names that are no UTF-8 are an error, for two of them would be one class', async () => {
    await png('a/a.png', 1)
    await mkdir(Buffer.concat([Buffer.from(`${dir}/caf`), Buffer.of(0xe9)]))
    expect(await errors()).toMatchObject([{ at: '', expected: 'names in UTF-8' }])
  })

  it('ten broken files are named, more are counted', async () => {
    for (let i = 0; i < 25; i++) await put(`${i}.png`, 'no picture')
    const all = await errors()
    expect(all).toHaveLength(10)
    expect(all[9]?.got).toMatch(/and 15 more errors like these$/)
  })
})

describe('copies', () => {
  it('of one content stay on one side of the split, whatever they are called', async () => {
    for (let i = 0; i < 12; i++) await png(`${i < 6 ? 'x' : 'y'}/${i}.png`, i)
    await copyFile(at('x/0.png'), at('x/again.png'))
    await copyFile(at('x/1.png'), at('y/same.png'))
    const dataset = await load()
    expect(dataset.notes).toEqual([
      '2 pictures there more than once: the copies are trained on, or held out, together, such as x/0.png = x/again.png and x/1.png = y/same.png',
      '1 picture in more than one class: x/1.png = y/same.png',
    ])
    for (let seed = 0; seed < 40; seed++) {
      const { heldOut } = split(dataset, 4, (i) => Math.imul(i + 1 + seed * 100, 0x9e3779b1) >>> 0)
      const names = Array.from({ length: heldOut.n }, (_, i) => heldOut.about(i).name)
      expect(heldOut.n).toBeGreaterThanOrEqual(3)
      expect(names.includes('x/0.png')).toBe(names.includes('x/again.png'))
      expect(names.includes('x/1.png')).toBe(names.includes('y/same.png'))
    }
  })
})

describe('metadata.jsonl', () => {
  it('lists every file once, however it is written', async () => {
    await png('a.png', 1)
    await metadata({ file_name: 'a.png' }, { file_name: './a.png' })
    expect(await errors()).toMatchObject([{ at: 'metadata.jsonl:2', expected: 'every file once' }])
  })

  it('is UTF-8, with or without a mark; another encoding is an error with its line', async () => {
    await png('a.png', 1)
    await put('metadata.jsonl', '\uFEFF{"file_name": "a.png", "class": "café"}\r\n')
    expect((await known()).classes).toEqual(['café'])
    const latin1 = Buffer.from(
      '{"file_name": "a.png", "class": "x"}\n{"file_name": "a.png", "class": "caf\xe9"}\n',
      'latin1',
    )
    await put('metadata.jsonl', latin1)
    expect(await errors()).toMatchObject([{ at: 'metadata.jsonl:2', expected: 'UTF-8' }])
    await put('metadata.jsonl', Buffer.concat([Buffer.of(0xff, 0xfe), Buffer.from('{}', 'utf16le')]))
    expect(await errors()).toMatchObject([{ at: 'metadata.jsonl', got: 'UTF-16' }])
  })

  it('one odd line is one error, at that line', async () => {
    const lines = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        await png(`${i}.png`, i)
        return i === 17 ? { file_name: `${i}.png`, class: 'x', text: 'odd' } : { file_name: `${i}.png`, class: 'x' }
      }),
    )
    await metadata(...lines)
    expect(await errors()).toEqual([
      { tag: 'data', at: 'metadata.jsonl:18', expected: 'no "text", as 39 other lines', got: '"text"' },
    ])
    await metadata(
      ...lines.map((line, i) =>
        i % 20 === 3 ? { file_name: line.file_name } : { file_name: line.file_name, class: 'x' },
      ),
    )
    expect(await errors()).toMatchObject([{ at: 'metadata.jsonl:4', got: 'none, nor do 1 more line agree' }])
  })

  it('members of another type, twice, or empty are errors that name them', async () => {
    await png('a.png', 1)
    await metadata(
      { file_name: 'a.png', class: 3 },
      '{"file_name": "a.png", "class": "x", "class": "y"}',
      { file_name: '' },
      { file_name: 'a.png', class: '' },
      [1],
      { class: 'x' },
    )
    expect((await errors()).map(({ at: place, expected, got }) => `${place} ${expected} ${got}`)).toEqual([
      'metadata.jsonl:1 "class": a string with a name 3',
      'metadata.jsonl:2 every member once "class" twice',
      'metadata.jsonl:3 "file_name": a string with a name ""',
      'metadata.jsonl:4 "class": a string with a name ""',
      'metadata.jsonl:5 { "file_name": string, "text"?: string, "class"?: string, "vector"?: numbers, "boxes"?: boxes } [1]',
      'metadata.jsonl:6 "file_name": a string only class',
    ])
  })

  it('pictures that it does not list, members that nothing reads and files beside it are said', async () => {
    for (const [i, name] of ['a', 'b', 'c'].entries()) await png(`${name}.png`, i)
    await put('metadata.csv', 'file_name')
    await metadata({ file_name: 'a.png', label: 3, class: 'Cat' }, { file_name: 'b.png', label: 4, class: 'cat ' })
    expect((await known()).notes).toEqual([
      'metadata.jsonl: nothing reads "label"; a line\'s "file_name", "text", "class", "vector" and "boxes" are read',
      'left out 1 (not read: metadata comes from metadata.jsonl in the folder itself): metadata.csv',
      'left out 1 (pictures that metadata.jsonl does not list): c.png',
      'classes of their own, though they look alike: "Cat", "cat "',
    ])
  })

  it('another spelling of a file is offered', async () => {
    await png('deep/a.PNG', 1)
    await metadata({ file_name: 'deep\\a.png' }, { file_name: 'gone.png' })
    expect(await errors()).toMatchObject([
      { at: 'metadata.jsonl:1', got: 'no such file', hint: 'did you mean "deep/a.PNG"?' },
      { at: 'metadata.jsonl:2', got: 'no such file' },
    ])
  })
})
