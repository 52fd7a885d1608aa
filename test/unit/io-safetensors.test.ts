import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { effect, showErrors } from '../../src/error.ts'
import { openSafetensors, parseSafetensors, type TensorFile } from '../../src/io/safetensors.ts'
import { encodeSafetensors } from '../../src/io/safetensors-writer.ts'
import { withSource } from '../../src/io/source.ts'
import { elementsOf, type StoredArray, type StoredArrays } from '../../src/io/stored.ts'
import { E, pipe } from '../../src/prelude.ts'

const value = <A>(checked: E.Either<Parameters<typeof showErrors>[0], A>): A =>
  pipe(
    checked,
    E.getOrElse((errors): A => expect.unreachable(showErrors(errors))),
  )

const shape = fc.array(fc.nat({ max: 4 }), { maxLength: 3 })
const filled = <A>(element: fc.Arbitrary<A>, make: (shape: readonly number[], data: A[]) => StoredArray) =>
  shape.chain((s) =>
    fc.array(element, { minLength: elementsOf(s), maxLength: elementsOf(s) }).map((data) => make(s, data)),
  )
const bits = fc.nat({ max: 0xffffffff })
const stored: fc.Arbitrary<StoredArray> = fc.oneof(
  filled(bits, (shape, d) => ({ dtype: 'float32', shape, data: new Float32Array(Uint32Array.from(d).buffer) })),
  filled(fc.double(), (shape, d) => ({ dtype: 'float64', shape, data: Float64Array.from(d) })),
  filled(fc.integer(), (shape, d) => ({ dtype: 'int32', shape, data: Int32Array.from(d) })),
  filled(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (shape, d) => ({
    dtype: 'int64',
    shape,
    data: BigInt64Array.from(d),
  })),
  filled(fc.nat({ max: 1 }), (shape, d) => ({ dtype: 'bool', shape, data: Uint8Array.from(d) })),
)
const names = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('a.b', '10', '9', '__proto__', '"', 'constructor'),
)
const tensorFile: fc.Arbitrary<TensorFile> = fc.record({
  tensors: fc.dictionary(names, stored, { noNullPrototype: true }),
  metadata: fc.dictionary(names, fc.string({ unit: 'grapheme' }), { noNullPrototype: true }),
})

const bytesOf = (a: StoredArray): number[] => [...new Uint8Array(a.data.buffer, a.data.byteOffset, a.data.byteLength)]
const comparable = (tensors: StoredArrays) =>
  Object.entries(tensors)
    .map(([name, a]) => [name, a.dtype, a.shape, bytesOf(a)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))

const withHeader = (header: string, data: readonly number[] = []): Uint8Array => {
  const text = new TextEncoder().encode(header)
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true)
  return Uint8Array.from([...length, ...text, ...data])
}

describe('safetensors', () => {
  it('decodes what it encodes, bit for bit, at any alignment', () => {
    fc.assert(
      fc.property(tensorFile, fc.nat({ max: 7 }), ({ tensors, metadata }, shift) => {
        const bytes = value(encodeSafetensors(tensors, metadata))
        const shifted = new Uint8Array(bytes.length + shift)
        shifted.set(bytes, shift)
        const back = value(parseSafetensors(shifted.subarray(shift), 'f'))
        expect(comparable(back.tensors)).toEqual(comparable(tensors))
        expect(Object.entries(back.metadata).sort()).toEqual(Object.entries(metadata).sort())
      }),
    )
  })

  it('writes the same bytes whatever the order of declaration, every array aligned', () => {
    fc.assert(
      fc.property(tensorFile, ({ tensors, metadata }) => {
        const reversed = Object.fromEntries(Object.entries(tensors).reverse())
        const bytes = value(encodeSafetensors(tensors, metadata))
        expect(value(encodeSafetensors(reversed, metadata))).toEqual(bytes)
        expect(new DataView(bytes.buffer).getUint32(0, true) % 8).toBe(0)
        const back = value(parseSafetensors(bytes, 'f'))
        const wide = Object.values(back.tensors).filter((a) => a.dtype !== 'bool')
        expect(wide.every((a) => a.data.buffer === bytes.buffer)).toBe(true)
      }),
    )
  })

  it('never throws on damaged bytes, and says which file', () => {
    fc.assert(
      fc.property(
        tensorFile,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        ({ tensors, metadata }, flips, cut) => {
          const whole = value(encodeSafetensors(tensors, metadata))
          const bytes = whole.slice(0, cut % 3 === 0 ? cut % whole.length : whole.length)
          for (const [where, byte] of flips) if (bytes.length > 0) bytes[where % Math.min(bytes.length, 200)] = byte
          const parsed = parseSafetensors(bytes, 'name')
          if (E.isLeft(parsed)) {
            expect(parsed.left).toHaveLength(1)
            expect(parsed.left[0].tag).toBe('file')
            expect(parsed.left[0].at.startsWith('name')).toBe(true)
          }
        },
      ),
      { numRuns: 1000 },
    )
  })

  it('refuses every strict prefix of a file, and a byte too many', () => {
    const bytes = value(encodeSafetensors({ w: { dtype: 'int32', shape: [2], data: new Int32Array([1, 2]) } }))
    for (let n = 0; n < bytes.length; n++) expect(E.isLeft(parseSafetensors(bytes.subarray(0, n), 'f'))).toBe(true)
    expect(E.isLeft(parseSafetensors(Uint8Array.from([...bytes, 0]), 'f'))).toBe(true)
  })

  it('widens every half-precision number exactly', () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const expected = (h: number): number => {
      const [sign, exponent, fraction] = [h >> 15 ? -1 : 1, (h >> 10) & 31, h & 1023]
      if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
      return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
    }
    const header = '{"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}}'
    const { tensors } = value(parseSafetensors(withHeader(header, [...new Uint8Array(halves.buffer)]), 'f'))
    const widened = [...(tensors.h?.data ?? [])]
    expect(widened.every((x, h) => Object.is(x, expected(h)))).toBe(true)
    expect(widened).toHaveLength(65536)
  })

  it.each([
    { dtype: 'F8_E4M3', exponentBits: 4, bias: 7, special: (_: number, fraction: number) => fraction === 7 },
    { dtype: 'F8_E5M2', exponentBits: 5, bias: 15, special: () => true },
  ])('widens every number of $dtype exactly', ({ dtype, exponentBits, bias, special }) => {
    const bits = Array.from({ length: 256 }, (_, i) => i)
    const fractionBits = 7 - exponentBits
    const expected = (byte: number): number => {
      const [sign, fraction] = [byte >> 7 ? -1 : 1, byte % 2 ** fractionBits]
      const exponent = (byte >> fractionBits) % 2 ** exponentBits
      const unit = fraction / 2 ** fractionBits
      if (exponent === 2 ** exponentBits - 1 && special(exponent, fraction))
        return exponentBits === 5 && fraction === 0 ? sign * Infinity : Number.NaN
      return sign * (exponent === 0 ? unit * 2 ** (1 - bias) : (1 + unit) * 2 ** (exponent - bias))
    }
    const header = `{"x":{"dtype":"${dtype}","shape":[256],"data_offsets":[0,256]}}`
    const { x } = value(parseSafetensors(withHeader(header, bits), 'f')).tensors
    expect(x).toMatchObject({ dtype: 'float32', shape: [256] })
    expect([...(x?.data ?? [])]).toEqual(bits.map(expected))
  })
  it('the largest and the least of both 8-bit types', () => {
    const header =
      '{"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F8_E5M2","shape":[3],"data_offsets":[3,6]}}'
    const { a, b } = value(parseSafetensors(withHeader(header, [0x7e, 0x01, 0x80, 0x7b, 0x01, 0xfc]), 'f')).tensors
    expect([...(a?.data ?? [])]).toEqual([448, 2 ** -9, -0])
    expect([...(b?.data ?? [])]).toEqual([57344, 2 ** -16, -Infinity])
  })

  it('of a file that is opened, an array of a type that is not known matters when it is read', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'latentgraph-safetensors-'))
    const path = join(folder, 'f4.safetensors')
    const header =
      '{"odd":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]},"w":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}}'
    writeFileSync(path, withHeader(header, [1, 2, 3, 7, 8]))
    const read = await withSource(path, (source) =>
      effect(async (run) => {
        const arrays = await run(openSafetensors(source))
        const types = Object.entries(arrays).map(([name, { dtype, shape, bytes }]) => ({ name, dtype, shape, bytes }))
        const odd = await (arrays.odd?.read ?? expect.unreachable('no such array'))()
        return { types, w: [...((await run(arrays.w?.read ?? expect.unreachable('none'))).data ?? [])], odd }
      }),
    )()
    rmSync(folder, { recursive: true })
    expect(value(read)).toMatchObject({
      types: [
        { name: 'odd', dtype: 'F4', shape: [2, 3], bytes: 3 },
        { name: 'w', dtype: 'U8', shape: [2], bytes: 2 },
      ],
      w: [7, 8],
      odd: { _tag: 'Left', left: [{ tag: 'file', at: `${path}: odd`, got: '"F4"' }] },
    })
  })

  it.each([
    ['BF16', [0x80, 0x3f, 0x40, 0xc0], 'float32', [1, -3]],
    ['U8', [1, 255], 'int32', [1, 255]],
    ['I8', [1, 255], 'int32', [1, -1]],
    ['U16', [255, 255, 1, 0], 'int32', [65535, 1]],
    ['I16', [255, 255, 1, 0], 'int32', [-1, 1]],
    ['U32', [255, 255, 255, 255, 1, 0, 0, 0], 'int64', [4294967295n, 1n]],
    ['BOOL', [2, 0], 'bool', [1, 0]],
  ])('reads %s', (dtype, data, as, expected) => {
    const header = `{"x":{"dtype":"${dtype}","shape":[2],"data_offsets":[0,${data.length}]}}`
    const x = value(parseSafetensors(withHeader(header, data), 'f')).tensors.x
    expect(x?.dtype).toBe(as)
    expect([...(x?.data ?? [])]).toEqual(expected)
  })

  const info = (fields: string): string => `{"x":{${fields}}}`
  it.each([
    ['a key twice in an entry', info('"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]')],
    [
      'a key twice, once escaped',
      `{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"\\u0061":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`,
    ],
    [
      'a key twice in the metadata',
      `{"__metadata__":{"k":"1","k":"2"},${info('"dtype":"U8","shape":[],"data_offsets":[0,1]').slice(1)}`,
    ],
    ['a size written 1.0', info('"dtype":"U8","shape":[1.0],"data_offsets":[0,1]')],
    ['an offset written 1e0', info('"dtype":"U8","shape":[1],"data_offsets":[0,1e0]')],
    ['three offsets', info('"dtype":"U8","shape":[1],"data_offsets":[0,1,1]')],
    ['half a surrogate pair', info('"dtype":"U8","shape":[1],"data_offsets":[0,1],"\\ud800":1')],
    ['space before the object', ` ${info('"dtype":"U8","shape":[1],"data_offsets":[0,1]')}`],
    ['deep nesting', info(`"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":${'['.repeat(9000)}${']'.repeat(9000)}`)],
    ['an unsupported dtype', info('"dtype":"F4","shape":[1],"data_offsets":[0,1]')],
  ])('refuses %s', (_, header) => {
    expect(E.isLeft(parseSafetensors(withHeader(header, [0]), 'f'))).toBe(true)
  })

  it('refuses a header with more parts than any model has, before it is parsed', () => {
    const refused = parseSafetensors(withHeader(`{"a":[${'{},'.repeat(2 ** 22)}0]}`, []), 'f')
    expect(E.isLeft(refused) && refused.left).toMatchObject([
      { tag: 'file', expected: expect.stringContaining('commas') },
    ])
  })

  it('accepts a null metadata, unknown fields, spaces after the header and quoted braces', () => {
    const header = '{"__metadata__":null,"}\\"{":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":[{},"a:"]}}   '
    expect([...(value(parseSafetensors(withHeader(header, [7]), 'f')).tensors['}"{']?.data ?? [])]).toEqual([7])
  })

  it('refuses to write what could not be read back', () => {
    const data = new Float32Array(3)
    expect(E.isLeft(encodeSafetensors({ x: { dtype: 'float32', shape: [2], data } }))).toBe(true)
    expect(E.isLeft(encodeSafetensors({ __metadata__: { dtype: 'float32', shape: [3], data } }))).toBe(true)
    expect(E.isLeft(encodeSafetensors({ '\ud800': { dtype: 'float32', shape: [3], data } }))).toBe(true)
  })
})
