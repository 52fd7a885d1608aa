import type { Half } from '../../graph/types.ts'

/** A number of 32 bits in every lane. */
type Bits = (value: number) => string
/** Numbers of 16 bits in loops, 4 at once, in WebAssembly's text: binary16 of IEEE 754-2008 (3.4), and bfloat16, the upper half of single precision. */
interface HalfText {
  /** Floats rounded to the nearest, the even one of two as near. */
  readonly rounded: (a: string, bits: Bits) => string
  /** The floats that the lanes' low 16 bits stand for; what lies above them does not count. */
  readonly widened: (a: string, bits: Bits) => string
  /** The 16 bits of floats that are rounded. */
  readonly narrowed: (a: string, bits: Bits) => string
}

const and = (a: string, b: string): string => `(v128.and ${a} ${b})`
const or = (a: string, b: string): string => `(v128.or ${a} ${b})`
const add = (a: string, b: string): string => `(i32x4.add ${a} ${b})`
const down = (a: string, by: number): string => `(i32x4.shr_u ${a} (i32.const ${by}))`
const up = (a: string, by: number): string => `(i32x4.shl ${a} (i32.const ${by}))`
const choose = (where: string, a: string, b: string): string => `(v128.bitselect ${a} ${b} ${where})`

/** Floats by their bits. */
const floats = { half: 0x3f000000, quietNaN: 0x7fc00000, infinity: 0x7f800000, of2: (n: number) => (n + 127) << 23 }

/** Bits rounded to those above the lowest `places`: half a unit is added, a bit less where the result is even already. */
const withoutLowest = (a: string, places: number, bits: Bits): string => {
  const even = and(down(a, places), bits(1))
  return and(add(a, add(even, bits(2 ** (places - 1) - 1))), bits(-(2 ** places)))
}
/** What is no number stays so, in its upper bits. */
const keepingNaN = (a: string, rounded: string, bits: Bits): string =>
  choose(`(f32x4.ne ${a} ${a})`, or(a, bits(floats.quietNaN)), rounded)

/** The spacing below 2^-14 is that of floats at a half; above, numbers have 10 places of 23. */
const roundedSize = (size: string, bits: Bits): string => {
  const low = `(f32x4.sub (f32x4.add ${size} ${bits(floats.half)}) ${bits(floats.half)})`
  const usual = withoutLowest(size, 13, bits)
  const rounded = choose(`(f32x4.lt ${size} ${bits(floats.of2(-14))})`, low, usual)
  return choose(`(f32x4.ge ${rounded} ${bits(floats.of2(16))})`, bits(floats.infinity), rounded)
}
const signBit = 0x80000000 | 0
const sizeBits = 0x7fffffff

export const halves: { readonly [H in Half]: HalfText } = {
  bfloat16: {
    rounded: (a, bits) => keepingNaN(a, withoutLowest(a, 16, bits), bits),
    widened: (a) => up(a, 16),
    narrowed: (a) => down(a, 16),
  },
  /** Exponents differ by 112: multiplying by 2^112 and 2^-112 makes one format's numbers, subnormal ones too, the other's. */
  float16: {
    rounded: (a, bits) => keepingNaN(a, or(roundedSize(and(a, bits(sizeBits)), bits), and(a, bits(signBit))), bits),
    widened: (a, bits) => {
      const size = `(f32x4.mul ${up(and(a, bits(0x7fff)), 13)} ${bits(floats.of2(112))})`
      const special = and(`(f32x4.ge ${size} ${bits(floats.of2(16))})`, bits(floats.infinity))
      return or(or(size, special), up(and(a, bits(0x8000)), 16))
    },
    narrowed: (a, bits) => {
      const size = down(`(f32x4.mul ${and(a, bits(sizeBits))} ${bits(floats.of2(-112))})`, 13)
      return or(and(size, bits(0x7fff)), and(down(a, 16), bits(0x8000)))
    },
  },
}
