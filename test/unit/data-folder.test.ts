import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadFolder } from '../../src/data/folder.ts'
import { E } from '../../src/prelude.ts'
import { right } from '../arbitrary/run.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latentgraph-folder-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const picture = async (grey: number, ...path: readonly string[]) => {
  await mkdir(join(dir, ...path.slice(0, -1)), { recursive: true })
  const background = { r: grey, g: grey, b: grey }
  await sharp({ create: { width: 3, height: 3, channels: 3, background } })
    .png()
    .toFile(join(dir, ...path))
}
const metadata = (...lines: readonly unknown[]) =>
  writeFile(
    join(dir, 'metadata.jsonl'),
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
  )
const load = () => loadFolder(dir, { size: 2 })()
const loaded = async () => {
  const dataset = await load()
  return E.isRight(dataset) ? dataset.right : expect.unreachable(JSON.stringify(dataset.left))
}
const errors = async () => {
  const dataset = await load()
  return E.isLeft(dataset) ? dataset.left.map(({ tag, at }) => `${tag} ${at.slice(dir.length)}`) : []
}

describe('loadFolder', () => {
  it('takes one folder a class, sorted by code point', async () => {
    await picture(0, 'b', '1.png')
    await picture(255, 'Z', 'é.png')
    await picture(255, 'Z', 'z.PNG')
    await picture(0, '\u{1F600}', '1.png')
    await picture(0, '\u{FB01}', '1.png')
    await writeFile(join(dir, 'b', 'notes.txt'), '')
    const { about, read, ...known } = await loaded()
    const { pictures, labels } = right(await read([0, 1, 2, 3, 4])())
    expect(known).toEqual({
      n: 5,
      channels: 3,
      height: 2,
      width: 2,
      classes: ['Z', 'b', '\u{FB01}', '\u{1F600}'],
      notes: [
        'left out 1 (no pictures, .txt 1): b/notes.txt',
        expect.stringMatching('there more than once'),
        expect.stringMatching('in more than one class'),
      ],
    })
    expect(labels).toEqual(Int32Array.from([0, 0, 1, 2, 3]))
    expect([0, 1, 2, 3, 4].map((i) => about(i).name)).toEqual([
      ...['Z/z.PNG', 'Z/é.png', 'b/1.png', '\u{FB01}/1.png', '\u{1F600}/1.png'],
    ])
    expect([...pictures]).toEqual(Array.from({ length: 60 }, (_, i) => (i < 24 ? 1 : -1)))
  })

  it('takes pictures without classes', async () => {
    await picture(0, 'b.png')
    await picture(0, 'a.png')
    const { n, classes, about, read } = await loaded()
    expect([n, classes, about(0).name, about(1).name]).toEqual([2, [], 'a.png', 'b.png'])
    expect(about(0)).not.toHaveProperty('class')
    expect(about(0)).not.toHaveProperty('caption')
    expect(right(await read([0])())).not.toHaveProperty('labels')
  })

  it('takes captions and classes from metadata.jsonl', async () => {
    await picture(0, 'b.png')
    await picture(255, 'deep', 'a.png')
    await metadata({ file_name: 'deep/a.png', text: 'light', class: 'y' }, '', {
      file_name: 'b.png',
      text: 'dark',
      class: 'x',
      other: 1,
    })
    const { classes, about, read, notes } = await loaded()
    expect(classes).toEqual(['x', 'y'])
    expect([about(0), about(1)]).toMatchObject([
      { name: 'b.png', caption: 'dark', class: 'x' },
      { name: 'deep/a.png', caption: 'light', class: 'y' },
    ])
    expect(right(await read([1, 0])()).labels).toEqual(Int32Array.from([1, 0]))
    expect(notes).toEqual([
      'metadata.jsonl: nothing reads "other"; a line\'s "file_name", "text", "class", "vector" and "boxes" are read',
    ])
  })

  it('knows the class, the caption, the size and the hash of every file', async () => {
    await picture(0, 'b.png')
    await picture(9, 'a.png')
    await metadata({ file_name: 'a.png', text: 'grey', class: 'x' }, { file_name: 'b.png', text: 'dark', class: 'y' })
    const facts = async (name: string) => {
      const bytes = await readFile(join(dir, name))
      return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
    }
    const all = await loaded()
    expect([all.about(0), all.about(1)]).toMatchObject([
      { name: 'a.png', class: 'x', caption: 'grey', ...(await facts('a.png')) },
      { name: 'b.png', class: 'y', caption: 'dark', ...(await facts('b.png')) },
    ])
  })

  it('names an empty folder, an empty class, an absent folder', async () => {
    expect(await errors()).toEqual(['data '])
    await picture(0, 'a', '1.png')
    await mkdir(join(dir, 'b'))
    expect(await errors()).toEqual(['data /b'])
    await metadata('')
    expect(await errors()).toEqual(['data '])
    expect(await loadFolder(join(dir, 'none'), { size: 2 })()).toMatchObject({ left: [{ at: join(dir, 'none') }] })
  })

  it('refuses pictures beside class folders', async () => {
    await picture(0, 'a', '1.png')
    await picture(0, 'stray.png')
    expect(await errors()).toEqual(['data '])
  })

  it('names every unreadable picture', async () => {
    await picture(0, 'a', '1.png')
    await writeFile(join(dir, 'a', '2.png'), 'no picture')
    await writeFile(join(dir, 'a', '3.jpg'), '')
    expect((await errors()).sort()).toEqual(['file /a/2.png', 'file /a/3.jpg'])
  })

  it('names every malformed line by its number', async () => {
    await picture(0, 'a.png')
    await metadata(
      { file_name: 'a.png' },
      '{"file_name": ',
      { file: 'a.png' },
      { file_name: 'a.png', text: 3 },
      { file_name: '../a.png' },
      { file_name: '/a.png' },
    )
    expect(await errors()).toEqual([2, 3, 4, 5, 6].map((line) => `data /metadata.jsonl:${line}`))
  })

  it('names the lines of absent files, and of missing captions', async () => {
    await picture(0, 'a.png')
    await metadata({ file_name: 'a.png' }, { file_name: 'gone.png' }, { file_name: 'A.png' })
    expect((await errors()).sort()).toEqual(['data /metadata.jsonl:2', 'data /metadata.jsonl:3'])
    await metadata({ file_name: 'a.png', text: 'yes' }, { file_name: 'a.png' })
    expect(await errors()).toEqual(['data /metadata.jsonl:2'])
  })
})
