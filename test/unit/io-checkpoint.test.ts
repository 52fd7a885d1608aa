import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sweep, writeFileAtomic, writeFolderAtomic } from '../../src/io/atomic.ts'
import {
  type Checkpoint,
  checkpointName,
  checkpointsIn,
  loadCheckpoint,
  saveCheckpoint,
} from '../../src/io/checkpoint.ts'
import { E } from '../../src/prelude.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latentgraph-io-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (...path: readonly string[]): Promise<string> => readFile(join(dir, ...path), 'utf8')

describe('writeFileAtomic', () => {
  it('writes, replaces, creates folders, leaves nothing else', async () => {
    const path = join(dir, 'a', 'b.txt')
    expect(E.isRight(await writeFileAtomic(path, bytes('one'))())).toBe(true)
    expect(E.isRight(await writeFileAtomic(path, bytes('two'))())).toBe(true)
    expect(await text('a', 'b.txt')).toBe('two')
    expect(await readdir(join(dir, 'a'))).toEqual(['b.txt'])
  })

  it('leaves no temporary file where it fails', async () => {
    await mkdir(join(dir, 'taken', 'x'), { recursive: true })
    const result = await writeFileAtomic(join(dir, 'taken'), bytes('one'))()
    expect(result).toMatchObject({ _tag: 'Left', left: [{ tag: 'file', at: join(dir, 'taken') }] })
    expect(await readdir(dir)).toEqual(['taken'])
  })
})

describe('writeFolderAtomic', () => {
  const path = () => join(dir, 'folder')

  it('replaces a folder as a whole', async () => {
    expect(E.isRight(await writeFolderAtomic(path(), { a: bytes('1'), b: bytes('2') })())).toBe(true)
    expect(E.isRight(await writeFolderAtomic(path(), { c: bytes('3') })())).toBe(true)
    expect(await readdir(path())).toEqual(['c'])
    expect(await readdir(dir)).toEqual(['folder'])
  })

  it('never replaces a file, and leaves nothing behind', async () => {
    await writeFile(path(), 'precious')
    expect(await writeFolderAtomic(path(), { a: bytes('1') })()).toMatchObject({
      _tag: 'Left',
      left: [{ tag: 'file' }],
    })
    expect(await text('folder')).toBe('precious')
    expect(await readdir(dir)).toEqual(['folder'])
  })

  it.each(['../a', 'a/b', '', '.', '..', 'a\\b'])('refuses the file name %j', async (name) => {
    expect(E.isLeft(await writeFolderAtomic(path(), { [name]: bytes('1') })())).toBe(true)
    expect(await readdir(dir)).toEqual([])
  })

  it('repairs what a crash between its two renames left', async () => {
    await writeFolderAtomic(path(), { a: bytes('1') })()
    await rename(path(), join(dir, '.folder.previous'))
    expect(E.isRight(await writeFolderAtomic(path(), { b: bytes('2') })())).toBe(true)
    expect(await readdir(dir)).toEqual(['folder'])
    expect(await readdir(path())).toEqual(['b'])
  })
})

describe('checkpoints', () => {
  const checkpoint: Checkpoint = {
    step: 1234,
    groups: {
      weights: {
        'decoder.conv_in.weight': { dtype: 'float32', shape: [2, 1], data: new Float32Array([0.1, Number.NaN]) },
        steps: { dtype: 'int64', shape: [], data: new BigInt64Array([7n]) },
      },
      ema: {},
    },
    meta: { seed: 3, nested: { list: [1, 'two', null, true] }, ünï: '☃', '10': 1e-7 },
  }
  const path = () => join(dir, checkpointName(checkpoint.step))

  it('load as they were saved', async () => {
    expect(E.isRight(await saveCheckpoint(path(), checkpoint)())).toBe(true)
    expect(await loadCheckpoint(path())()).toEqual(E.right(checkpoint))
    expect(await readdir(dir)).toEqual(['step-00001234'])
    expect(JSON.parse(await text('step-00001234', 'manifest.json'))).toMatchObject({
      format: 'latentgraph-checkpoint',
      version: 1,
      step: 1234,
      files: { 'weights.safetensors': { bytes: expect.any(Number), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } },
    })
  })

  it('load the groups that are wanted, whatever became of the others', async () => {
    await saveCheckpoint(path(), checkpoint)()
    await writeFile(join(path(), 'ema.safetensors'), 'damaged')
    const { weights } = checkpoint.groups
    expect(await loadCheckpoint(path(), ['weights', 'none'])()).toEqual(E.right({ ...checkpoint, groups: { weights } }))
    expect(E.isLeft(await loadCheckpoint(path())())).toBe(true)
  })

  it('load after a crash in the middle of a replacement', async () => {
    await saveCheckpoint(path(), checkpoint)()
    await rename(path(), join(dir, '.step-00001234.previous'))
    expect(E.isLeft(await loadCheckpoint(path())())).toBe(true)
    expect(await sweep([dir])()).toEqual(E.right([]))
    expect(await loadCheckpoint(path())()).toEqual(E.right(checkpoint))
  })

  it('refuse every changed byte', async () => {
    await saveCheckpoint(path(), checkpoint)()
    const file = join(path(), 'weights.safetensors')
    const whole = await readFile(file)
    for (let i = 0; i < whole.length; i += 7) {
      const changed = Buffer.from(whole)
      changed.writeUInt8((changed.readUInt8(i) + 1) % 256, i)
      await writeFile(file, changed)
      expect(await loadCheckpoint(path())()).toMatchObject({ _tag: 'Left', left: [{ tag: 'file', at: file }] })
    }
  })

  it.each([
    ['"step": 1234', '"step": 1235'],
    ['"seed": 3', '"seed": 4'],
    ['checkpoint', 'checkpoinT'],
    ['{', '['],
  ])('refuse a manifest where %s became %s', async (from, to) => {
    await saveCheckpoint(path(), checkpoint)()
    const manifest = await text('step-00001234', 'manifest.json')
    await writeFile(join(path(), 'manifest.json'), manifest.replace(from, to))
    expect(await loadCheckpoint(path())()).toMatchObject({
      _tag: 'Left',
      left: [{ tag: 'file', at: join(path(), 'manifest.json') }],
    })
  })

  it('refuse a missing file, a missing folder, a group name that is a path', async () => {
    await saveCheckpoint(path(), checkpoint)()
    await rm(join(path(), 'ema.safetensors'))
    expect(E.isLeft(await loadCheckpoint(path())())).toBe(true)
    expect(E.isLeft(await loadCheckpoint(join(dir, 'none'))())).toBe(true)
    expect(E.isLeft(await saveCheckpoint(join(dir, 'x'), { ...checkpoint, groups: { '../up': {} } })())).toBe(true)
  })

  it('are listed by their steps, the latest first', async () => {
    expect(await checkpointsIn(dir)()).toEqual(E.right([]))
    for (const name of [
      'step-00000009',
      'step-00000010',
      'step-123456789',
      'step-9',
      '.step-99999999.abc.tmp',
      'other',
    ])
      await mkdir(join(dir, name))
    await writeFile(join(dir, 'step-999999999'), 'a file')
    const places = [123456789, 10, 9].map((step) => ({ step, path: join(dir, checkpointName(step)) }))
    expect(await checkpointsIn(dir)()).toEqual(E.right(places))
    expect(E.isLeft(await checkpointsIn(join(dir, 'none'))())).toBe(true)
  })
})
