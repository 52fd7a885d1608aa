import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { readFiles } from '../../src/execute/files.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { outside } from '../../src/execute/onnx/outside.ts'
import { constantOf } from '../../src/execute/onnx/value.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float } from '../../src/graph/types.ts'
import { fileArrays, filedArrays } from '../../src/io/file-arrays.ts'
import { openSafetensors } from '../../src/io/safetensors.ts'
import { writeSafetensors } from '../../src/io/safetensors-writer.ts'
import { withSource } from '../../src/io/source.ts'
import type { StoredArray } from '../../src/io/stored.ts'
import { pipe, TE } from '../../src/prelude.ts'
import { difference, feed, graphOf, right, run } from './onnx-support.ts'

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-files-'))
afterAll(() => rmSync(folder, { recursive: true }))

const written = async (name: string, arrays: Readonly<Record<string, StoredArray>>, dtype?: 'float16') => {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  const unwritten = Object.entries(arrays).map(([key, array]) => [
    key,
    { dtype: dtype ?? array.dtype, shape: array.shape, read: TE.right(array) },
  ])
  right(await writeSafetensors(path, Object.fromEntries(unwritten))())
  return path
}
const stored = (seed: number, ...shape: readonly number[]) => {
  const { data } = feed(seed, float(...shape))
  return { dtype: 'float32', shape, data: Float32Array.from(data) } as const
}

describe('weights that lie in files', () => {
  test('of several folders, through links, beside large constants in memory', async () => {
    const [a, b, c] = [stored(1, 64, 640), stored(2, 640, 512), stored(3, 512, 8)]
    const first = await written('unet/a.safetensors', { a })
    await written('vae/deeper/c.safetensors', { c }, 'float16')
    symlinkSync(join(folder, 'vae/deeper/c.safetensors'), join(folder, 'unet/link.safetensors'))
    const files = {
      ...right(await fileArrays(first)()),
      ...right(await fileArrays(join(folder, 'unet/link.safetensors'))()),
    }
    const g = graphOf({
      y: pipe(
        D.input('x', float(2, 64)),
        D.matmul(D.input('a', float(64, 640))),
        D.matmul(D.input('b', float(640, 512))),
        D.matmul(D.input('c', float(512, 8))),
      ),
    })
    const [x, large] = [feed(4, float(2, 64)), floats(b.shape, b.data)]
    const options = { mode: 'sampling', constants: { b: large }, files } as const
    const [ours, theirs] = [await run(onnx('cpu'), g, { x }, options), await run(reference, g, { x }, options)]
    expect(difference(ours.y, theirs.y)).toBeLessThan(2e-6)
    const read = right(await readFiles(files)())
    const plain = { mode: 'sampling', constants: { ...read, b: large } } as const
    expect((await run(onnx('cpu'), g, { x }, plain)).y?.data).toEqual(ours.y?.data)
  })

  test('what cannot be taken as it lies is told apart', async () => {
    const path = await written('mixed.safetensors', {
      w: stored(1, 2, 3),
      n: { dtype: 'int32', shape: [2], data: Int32Array.of(1, 2) },
      d: { dtype: 'float64', shape: [1], data: Float64Array.of(1) },
    })
    const sorted = right(await pipe(withSource(path, openSafetensors), TE.flatMap(filedArrays))())
    expect([Object.keys(sorted.files), Object.keys(sorted.others).sort()]).toEqual([['w'], ['d', 'n']])
    expect(right(await (sorted.files.w ?? expect.unreachable()).read()).data).toEqual(stored(1, 2, 3).data)
  })

  test('locations begin in the folder that all files are below', () => {
    const filed = (path: string) => ({
      name: path,
      value: { kind: 'filed', element: 'bfloat16', shape: [2, 3], path, position: 7 } as const,
    })
    const small = { name: 'small', value: constantOf('float32', [1], new Float32Array(1)) }
    const places = (...paths: readonly string[]) => outside([...paths.map(filed), small])
    expect(places()).toEqual({ locations: new Map(), memory: [] })
    expect(places('/m/a.st')).toEqual({
      locations: new Map([['/m/a.st', { location: 'a.st', offset: 7, length: 12 }]]),
      memory: [],
      folder: '/m/',
    })
    const two = places('/m/unet/a.st', '/m/unets/b.st')
    expect([two.folder, [...two.locations.values()].map(({ location }) => location)]).toEqual([
      '/m/',
      ['unet/a.st', 'unets/b.st'],
    ])
    expect(places('/a.st', '/m/b.st').folder).toBe('/')
  })
})
