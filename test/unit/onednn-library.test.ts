import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { filesBelow } from '../../src/execute/native/below.ts'
import { faultOf } from '../../src/execute/native/shared-object.ts'
import { measured } from '../../src/execute/onednn/costs.ts'
import { loadFrom } from '../../src/execute/onednn/load.ts'
import { libraryName } from '../../src/execute/onednn/places.ts'
import { E } from '../../src/prelude.ts'
import { skipped } from '../arbitrary/executors.ts'

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-onednn-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** The header of a shared object for x86-64 whose sections end after `bytes`. */
const header = (bytes: number, machine = 62): Uint8Array => {
  const h = new Uint8Array(64)
  const v = new DataView(h.buffer)
  v.setUint32(0, 0x7f454c46)
  v.setUint8(4, 2)
  v.setUint8(5, 1)
  v.setUint16(18, machine, true)
  v.setBigUint64(40, BigInt(bytes - 64 * 10), true)
  v.setUint16(58, 64, true)
  v.setUint16(60, 10, true)
  return h
}

describe('a file is not given to the system’s loader', () => {
  test.each([
    ['that is whole', header(5000), 5000, 'x64', undefined],
    ['that is no library', new TextEncoder().encode('#!/bin/sh\n'.padEnd(100)), 100, 'x64', /no ELF/],
    ['that is empty', new Uint8Array(), 0, 'x64', /no ELF/],
    ['that is cut short', header(5000), 4999, 'x64', /cut short/],
    ['for another processor', header(5000, 183), 5000, 'x64', /AArch64/],
    ['of an unknown processor', header(5000, 8), 5000, 'arm64', /machine 8/],
  ] as const)('%s', (_, bytes, length, arch, fault) => {
    const found = faultOf(bytes, length, arch)
    if (fault === undefined) expect(found).toBeUndefined()
    else expect(found).toMatch(fault)
  })
})

test('names of version 3 are known, others not', () => {
  for (const name of ['libdnnl.so.3', 'libdnnl.so.3.6', 'libdnnl.3.dylib', 'dnnl.dll'])
    expect(libraryName.test(name)).toBe(true)
  for (const name of ['libdnnl.so.2', 'libdnnl.so.30', 'libdnnl.so', 'libmkldnn.so.3', 'libdnnl.so.3.txt'])
    expect(libraryName.test(name)).toBe(false)
})

test.each([
  ['ref:any', true],
  ['simple:any', true],
  ['jit:avx2', false],
  ['brgemm:avx2', false],
  ['gemm:jit:f32', false],
  ['jit_uni_simple', false],
])('implementations that are not meant to be fast are refused by name: %s', (name, isRefused) =>
  expect(measured.refused.test(name)).toBe(isRefused),
)

test('libraries are found as deep as wheels have them, the nearest first', async () => {
  const tree = join(folder, 'tree')
  const inWheel = join(tree, 'a.data/data/lib')
  for (const path of [inWheel, join(inWheel, 'deeper'), join(tree, 'lib/libdnnl.so.3')])
    mkdirSync(path, { recursive: true })
  const library = join(inWheel, 'libdnnl.so.3.2')
  for (const path of [library, join(inWheel, 'deeper/libdnnl.so.3'), join(tree, 'libdnnl.so.2')])
    writeFileSync(path, '')
  const isWanted = (name: string): boolean => libraryName.test(name)
  expect(await filesBelow(tree, isWanted, 3)).toEqual([library])
  const near = join(tree, 'lib/libdnnl.so.3.6')
  symlinkSync(library, near)
  symlinkSync('nowhere', join(tree, 'lib/libdnnl.so.3.7'))
  expect(await filesBelow(tree, isWanted, 3)).toEqual([near, library])
  expect(await filesBelow(tree, isWanted, 1)).toEqual([near])
  expect(await filesBelow(join(tree, 'none'), isWanted, 3)).toEqual([])
})

const checked = () => {
  const own = readFileSync(process.execPath).subarray(0, 64)
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
  test.each([
    ['missing', () => join(folder, 'nowhere.so'), undefined, /ENOENT/],
    ['cut short', () => file('short.so', header(1e6)), undefined, /cut short/],
    [
      'another than was set up',
      () => file('other.so', Uint8Array.from([...header(704), ...new Uint8Array(640)])),
      'f'.repeat(64),
      /SHA-256 [0-9a-f]{64}/,
    ],
    ['no library', () => file('own.so', own), undefined, /./],
  ] as const)('%s', async (_, path, sha256, got) => {
    const place = { path: path(), ...(sha256 === undefined ? {} : { sha256 }) }
    const loaded = await loadFrom(place)()
    if (E.isRight(loaded)) throw new Error('it was loaded')
    expect(loaded.left[0]).toMatchObject({ tag: 'compile', at: place.path })
    expect(loaded.left[0].got).toMatch(got)
  })
}
const title = 'errors of loading name the file'
if (process.platform === 'linux' && process.arch === 'x64') describe(title, checked)
else skipped(title, 'its files are Linux’s, for x86-64')
