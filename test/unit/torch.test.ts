import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { showErrors } from '../../src/error.ts'
import type { StoredArrays } from '../../src/io/stored.ts'
import { readTorch } from '../../src/io/torch/index.ts'
import { unpickle } from '../../src/io/torch/pickle.ts'
import { isKind, type TorchValue } from '../../src/io/torch/values.ts'
import { E } from '../../src/prelude.ts'
import {
  bytes,
  called,
  dict,
  global,
  int,
  pickle,
  storage,
  tensor,
  text,
  torchZip,
  tuple,
  zip,
} from './torch-pickles.ts'

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-torch-'))
const path = join(folder, 'model.ckpt')
afterAll(() => rmSync(folder, { recursive: true }))

const read = (file: Uint8Array) => {
  writeFileSync(path, file)
  return readTorch(path)()
}
const arrays = async (file: Uint8Array): Promise<StoredArrays> => {
  const result = await read(file)
  return E.isRight(result) ? result.right : expect.unreachable(showErrors(result.left))
}
const refusal = async (file: Uint8Array): Promise<string> => {
  const result = await read(file)
  return E.isLeft(result) ? showErrors(result.left) : expect.unreachable(JSON.stringify(Object.keys(result.right)))
}
const value = (content: Uint8Array): TorchValue => {
  const result = unpickle(pickle(content), 0, 'f')
  return E.isRight(result) && result.right !== undefined
    ? result.right.value
    : expect.unreachable(JSON.stringify(result))
}
const complaint = (content: Uint8Array): string => {
  const result = unpickle(pickle(content), 0, 'f')
  return E.isLeft(result) ? showErrors(result.left) : expect.unreachable('accepted')
}
const floats = (...xs: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(xs).buffer)
const named = (...entries: readonly (readonly [string, Uint8Array])[]): Uint8Array =>
  dict(...entries.map(([name, v]) => [text(name), v] as const))

describe('pickles', () => {
  it('plain values of all kinds', () => {
    const list = value(
      bytes(
        '](',
        'N',
        0x88,
        0x89,
        int(-7),
        'K\x05',
        'M\x00\x01',
        'G',
        '\x3f\xf8\x00\x00\x00\x00\x00\x00',
        'U\x02ab',
        text('ü'),
        tuple(),
        'e',
      ),
    )
    expect(list).toEqual({
      kind: 'list',
      items: [null, true, false, -7, 5, 256, 1.5, 'ab', 'ü', { kind: 'tuple', items: [] }],
    })
  })
  it.each([
    [0n, '\x8a\x00'],
    [-1n, '\x8a\x01\xff'],
    [255n, '\x8a\x02\xff\x00'],
    [-(2n ** 63n), '\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80'],
    [2n ** 64n, '\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01'],
  ])('the integer %s', (n, code) => expect(BigInt(Number(value(bytes(code))))).toBe(n))

  it('a dictionary that holds itself is read, and ends', () => {
    const dictionary = value(bytes('}q\x00', text('self'), 'h\x00s'))
    expect(isKind('dict')(dictionary) && dictionary.entries.get('self') === dictionary).toBe(true)
  })
  it('lists of lists that share their parts stay small', () => {
    const doubled = Array.from({ length: 60 }, (_, i) => bytes(']q', i + 1, 'h', i, 'ah', i, 'a'))
    expect(isKind('list')(value(bytes(']q\x00', ...doubled)))).toBe(true)
  })
  it("entries of Python 2's OrderedDict", () => {
    const ordered = called(global('collections', 'OrderedDict'), bytes('](', '](U\x01aK\x01e', '](U\x01bK\x02e', 'e'))
    const made = value(ordered)
    expect(isKind('dict')(made) && [...made.entries]).toEqual([
      ['a', 1],
      ['b', 2],
    ])
  })
  it('one list shown to many calls is refused before it takes long', () => {
    const pair = (i: number): Uint8Array => bytes('](M', i & 255, i >> 8, 'K\x01e')
    const list = bytes('](', ...Array.from({ length: 2000 }, (_, i) => pair(i)), 'eq\x00')
    const calls = Array.from({ length: 2000 }, () => bytes(global('collections', 'OrderedDict'), 'h\x00\x85R0'))
    expect(complaint(bytes(list, ...calls))).toContain('an OrderedDict of pairs')
  })
  it("numpy's numbers, and classes that are only keys", () => {
    const dtype = bytes(called(global('numpy', 'dtype'), text('f8'), int(0), int(1)), tuple(int(3), text('<')), 'b')
    const encoded = called(global('_codecs', 'encode'), text('\x00\x00\x00\x00\x00\x00\xf8?'), text('latin1'))
    expect(value(called(global('numpy.core.multiarray', 'scalar'), dtype, encoded))).toBe(1.5)
    const callback = global('pytorch_lightning.callbacks.model_checkpoint', 'ModelCheckpoint')
    expect(isKind('dict')(value(dict([callback, int(1)])))).toBe(true)
    expect(value(called(callback))).toMatchObject({ kind: 'opaque' })
  })
  it.each([
    ['posix', 'system'],
    ['builtins', 'eval'],
    ['builtins', 'exec'],
    ['__builtin__', 'compile'],
    ['six.moves.builtins', 'eval'],
    ['nt', 'system'],
    ['subprocess', 'Popen'],
    ['importlib', 'import_module'],
    ['runpy', '_run_code'],
    ['ctypes.util', 'find_library'],
    ['torch.serialization', 'os.system'],
    ['torch', 'load'],
    ['types', 'FunctionType'],
  ])('%s %s is refused by name', (module, name) => {
    expect(complaint(called(global(module, name), text('x')))).toContain(JSON.stringify(`${module} ${name}`))
    expect(complaint(bytes('\x8c', module.length, module, '\x8c', name.length, name, 0x93))).toContain(module)
  })
  it('what steers a terminal is quoted in the message', () =>
    expect(complaint(global('os.\x1b[2J', 'os.system'))).not.toContain('\x1b'))
  it.each([
    ['a value off an empty stack', '0'],
    ['across a mark', 'N(0'],
    ['no open mark', 't'],
    ['nothing remembered', 'h\x05'],
    ['half a pair', '}(Nu'],
    ['a list that is a tuple', ')Na'],
    ['an unknown opcode', '\xff'],
    ['an instance', 'ios\nsystem\n'],
    ['protocol 9', '\x80\x09N'],
    ['a key twice', '}(K\x01NK\x01Nu'],
    ['a key twice, one by one', '}U\x01aNsU\x01aNs'],
    ['a key twice in an OrderedDict', 'ccollections\nOrderedDict\n](](U\x01aNe](U\x01aNee\x85R'],
  ])('%s', (_, code) => expect(complaint(bytes(code))).toContain('expected'))
})

describe('pickles that deflate to nothing', () => {
  it.each([...'(]}NK'])(
    '%j again and again is refused before the memory is full',
    { timeout: 60_000 },
    async (code) => {
      const data = new Uint8Array(2 ** 25).fill(code.charCodeAt(0))
      const file = zip([{ name: 'archive/data.pkl', data, deflate: true }])
      expect(file.length).toBeLessThan(2 ** 17)
      const before = process.memoryUsage().rss
      await refusal(file)
      expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 30)
    },
  )
})

describe('tensors', () => {
  const grid = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 })
  it('are gathered row by row, whatever their strides', () =>
    fc.assert(
      fc.asyncProperty(
        grid,
        fc.nat({ max: 3 }),
        fc.infiniteStream(fc.nat({ max: 3 })),
        async (shape, offset, steps) => {
          const strides = shape.map(() => steps.next().value ?? 0)
          const last = shape.reduce((at, n, i) => at + (n - 1) * (strides[i] ?? 0), offset)
          const data = Array.from({ length: last + 1 }, (_, i) => i)
          const at = (index: readonly number[]): number => index.reduce((n, i, d) => n + i * (strides[d] ?? 0), offset)
          const indices = shape.reduce<number[][]>(
            (all, n) => all.flatMap((index) => Array.from({ length: n }, (_, i) => [...index, i])),
            [[]],
          )
          const { w } = await arrays(
            torchZip(named(['w', tensor(storage('0', data.length), { offset, shape, strides })]), {
              0: floats(...data),
            }),
          )
          expect(w?.shape).toEqual(shape)
          expect([...(w?.data ?? [])]).toEqual(indices.map(at))
        },
      ),
      { numRuns: 150 },
    ))
  it.each([
    ['beyond the storage', { shape: [3], strides: [2] }],
    ['from beyond it', { offset: 4, shape: [1], strides: [1] }],
    ['of negative size', { shape: [-1], strides: [1] }],
    ['of negative stride', { offset: 3, shape: [2], strides: [-1] }],
    ['of fewer strides than sizes', { shape: [2, 2], strides: [1] }],
    ['of 65 dimensions', { shape: Array.from({ length: 65 }, () => 1), strides: Array.from({ length: 65 }, () => 1) }],
  ])('a view %s is refused', async (_, view) =>
    expect(await refusal(torchZip(named(['w', tensor(storage('0', 4), view)]), { 0: floats(1, 2, 3, 4) }))).toMatch(
      /a view within|as many sizes/,
    ),
  )
  it('a view that repeats one element beyond all measure is refused before memory is taken', async () => {
    const huge = tensor(storage('0', 1), { shape: [2 ** 30, 2 ** 30], strides: [0, 0] })
    expect(await refusal(torchZip(named(['w', huge]), { 0: floats(1) }))).toContain('arrays of at most')
  })
  it('a storage that is not in the file is missed, even outside of the state', async () => {
    const lost = tensor(storage('1', 1), { shape: [1], strides: [1] })
    const state = named(['w', tensor(storage('0', 1), { shape: [1], strides: [1] })])
    expect(await refusal(torchZip(named(['state_dict', state], ['other', lost]), { 0: floats(1) }))).toContain(
      'no such storage',
    )
  })
  it('what is no tensor in a state is named', async () =>
    expect(await refusal(torchZip(named(['w', int(1)])))).toContain('"w"'))
})

describe('zip files', () => {
  const one = named(['w', tensor(storage('0', 2), { shape: [2], strides: [1] })])
  const members = (data: Parameters<typeof zip>[0][number]) => [{ name: 'm/data.pkl', data: pickle(one) }, data]
  const data = { name: 'm/data/0', data: floats(1, 2) }

  it('with sizes in Zip64 fields', async () =>
    expect([...((await arrays(torchZip(one, { 0: floats(3, 4) }, { zip64: true }))).w?.data ?? [])]).toEqual([3, 4]))
  it('deflated', async () =>
    expect([...((await arrays(zip(members({ ...data, deflate: true })))).w?.data ?? [])]).toEqual([1, 2]))
  it.each([
    ['a wrong checksum', [...members({ ...data, claims: { crc: 1 } })], 'CRC-32'],
    [
      'a member that inflates to more than it says',
      members({ name: data.name, data: new Uint8Array(10 ** 6), deflate: true, claims: { bytes: 8 } }),
      'once inflated',
    ],
    ['the same member twice', [...members(data), data], 'twice'],
    ['two pickles', [...members(data), { name: 'n/data.pkl', data: pickle(one) }], '2 of them'],
    ['no pickle', [data], '0 of them'],
    ['big-endian data', [...members(data), { name: 'm/byteorder', data: bytes('big') }], 'byte order'],
  ])('%s', async (_, all, message) => expect(await refusal(zip(all))).toContain(message))
})
