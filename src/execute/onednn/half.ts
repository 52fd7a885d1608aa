import { type DType, type Half, halves, isHalf } from '../../graph/types.ts'
import { RR } from '../../prelude.ts'
import type { Costs } from './costs.ts'
import { hasIsa } from './isa.ts'
import type { Library } from './load.ts'
import type { Element } from './view.ts'

/** What the library makes of products in half precision on this processor. */
interface HalfProducts {
  /** What multiplies, in words. */
  readonly by: string
  /** How many times faster than in float32. */
  readonly gain: number
}
/** Of a dtype: its products, and whether arrays of it lie as 2 bytes an element, or as rounded floats of 4. */
export interface HalfPrecision extends HalfProducts {
  readonly isStored: boolean
}
export type HalfPrecisions = { readonly [H in Half]: HalfPrecision }

const productsOf = (isa: number, { half }: Pick<Costs, 'half'>): { readonly [H in Half]: HalfProducts } => {
  const [units, vectors] = [
    { by: 'matrix units (AMX)', gain: half.matrixUnits },
    { by: 'vectors of AVX-512', gain: half.vectors },
  ]
  const none = { by: 'nothing', gain: 0 }
  return {
    bfloat16: hasIsa(isa, 'matrixUnits') ? units : hasIsa(isa, 'avx512') ? vectors : none,
    float16: hasIsa(isa, 'matrixUnitsOfFloat16') ? units : hasIsa(isa, 'float16') ? vectors : none,
  }
}

export const halfPrecisions = ({ isa }: Pick<Library, 'isa'>, costs: Pick<Costs, 'half'>): HalfPrecisions =>
  RR.map(
    (products: HalfProducts): HalfPrecision => ({
      ...products,
      isStored: costs.half.stored === 'always' || products.gain > 1,
    }),
  )(productsOf(isa, costs))

/** As what numbers of a dtype lie in memory. */
export const elementFor =
  (precisions: HalfPrecisions) =>
  (dtype: DType): Element =>
    isHalf(dtype) && precisions[dtype].isStored ? dtype : 'word'

/** What it comes to, for people: `bfloat16 native, by matrix units (AMX)`. */
export const saysHalf = (dtype: Half, { by, gain, isStored }: HalfPrecision): string =>
  isStored
    ? `${dtype} native, products by ${by}`
    : gain > 0
      ? `${dtype} simulated in float32, which is faster than by ${by}`
      : `${dtype} simulated in float32: oneDNN has no products of it on this processor`
export const saysHalves = (precisions: HalfPrecisions): string =>
  halves.map((dtype) => saysHalf(dtype, precisions[dtype])).join('; ')
