import { any, type Handle, query, types } from '../../src/execute/onednn/api.ts'
import type { Library } from '../../src/execute/onednn/load.ts'

/**
 * A library that computes nothing and has everything: convolutions that take pictures as they are given and want weights in a format of
 * their own, products of any strides. Plans on it depend on no processor.
 */
interface Descriptor {
  readonly dims: readonly number[]
  readonly type: number
  readonly layout: string
}
interface Primitive {
  readonly implementation: string
  readonly arrays: ReadonlyMap<number, Handle>
}

const numbers = (xs: unknown): readonly number[] => (xs instanceof BigInt64Array ? Array.from(xs, Number) : [])
const asHandle = (x: unknown): Handle => (typeof x === 'bigint' ? x : null)

export const paperLibrary = (isa = 0): Library => {
  const [descriptors, primitives] = [new Map<bigint, Descriptor>(), new Map<bigint, Primitive>()]
  let last = 0n
  const descriptor = (d: Descriptor): bigint => {
    descriptors.set(++last, d)
    return last
  }
  const primitive = (implementation: string, arrays: readonly (readonly [number, Handle])[]): bigint => {
    primitives.set(++last, { implementation, arrays: new Map(arrays) })
    return last
  }
  const of = (x: unknown): Descriptor => descriptors.get(asHandle(x) ?? 0n) ?? { dims: [], type: 0, layout: '' }
  /** What a convolution takes where it may choose. */
  const own = (x: unknown, format: string): bigint => {
    const given = of(x)
    return descriptor(given.layout === 'any' ? { ...given, layout: format } : given)
  }
  /** With the types of what goes in and comes out, where not all are float32. */
  const named = (what: string, ...all: readonly unknown[]): string => {
    const names = all.map((x) => Object.entries(types).find(([, type]) => type === of(x).type)?.[0] ?? '?')
    return names.every((n) => n === 'f32') ? what : `${what} ${names.join(' ')}`
  }
  const make: Library['make'] = (name, ...args) => {
    switch (name) {
      case 'dnnl_memory_desc_create_with_strides':
        return descriptor({ dims: numbers(args[1]), type: Number(args[2]), layout: numbers(args[3]).join() })
      case 'dnnl_memory_desc_create_with_tag':
        return descriptor({
          dims: numbers(args[1]),
          type: Number(args[2]),
          layout: args[3] === any ? 'any' : String(args[3]),
        })
      case 'dnnl_convolution_forward_primitive_desc_create':
        return primitive(named('convolution', args[3], args[4], args[6]), [
          [query.source, own(args[3], 'picture')],
          [query.weights, own(args[4], 'for forward')],
          [query.destination, own(args[6], 'picture')],
        ])
      case 'dnnl_convolution_backward_data_primitive_desc_create':
        return primitive(named('input gradient', args[2], args[3], args[4]), [
          [query.diffSource, own(args[2], 'picture')],
          [query.weights, own(args[3], 'for backward')],
          [query.diffDestination, own(args[4], 'picture')],
        ])
      case 'dnnl_convolution_backward_weights_primitive_desc_create':
        return primitive(named('weight gradient', args[2], args[3], args[5]), [
          [query.source, own(args[2], 'picture')],
          [query.diffWeights, own(args[3], 'of gradient')],
          [query.diffDestination, own(args[5], 'picture')],
        ])
      case 'dnnl_matmul_primitive_desc_create':
        return primitive(named('product', args[1], args[2], args[4]), [])
      case 'dnnl_reorder_primitive_desc_create':
        return primitive('reorder', [])
      default:
        return ++last
    }
  }
  return {
    path: '',
    version: '',
    isa,
    engine: null,
    stream: null,
    omp: undefined,
    make,
    call: () => {},
    ask: (name, ...args) => {
      if (name === 'dnnl_memory_desc_get_size') {
        const { dims, type } = of(args[0])
        return BigInt(dims.reduce((n, d) => n * d, type === types.f32 ? 4 : 2))
      }
      if (name === 'dnnl_memory_desc_equal') return JSON.stringify(of(args[0])) === JSON.stringify(of(args[1])) ? 1 : 0
      if (name === 'dnnl_primitive_desc_query_md')
        return primitives.get(asHandle(args[0]) ?? 0n)?.arrays.get(Number(args[1])) ?? null
      return 0
    },
    implementation: (handle) => primitives.get(handle ?? 0n)?.implementation ?? '',
    addressOf: () => 0n,
  }
}
