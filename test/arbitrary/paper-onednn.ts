import { any, type Handle, query } from '../../src/execute/onednn/api.ts'
import type { Library } from '../../src/execute/onednn/load.ts'

/**
 * A library that computes nothing and has everything: convolutions that take pictures as they are given and want weights in a format of
 * their own, products of any strides. Plans on it depend on no processor.
 */
interface Descriptor {
  readonly dims: readonly number[]
  readonly layout: string
}
interface Primitive {
  readonly implementation: string
  readonly arrays: ReadonlyMap<number, Handle>
}

const numbers = (xs: unknown): readonly number[] => (xs instanceof BigInt64Array ? Array.from(xs, Number) : [])
const asHandle = (x: unknown): Handle => (typeof x === 'bigint' ? x : null)

export const paperLibrary = (): Library => {
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
  const of = (x: unknown): Descriptor => descriptors.get(asHandle(x) ?? 0n) ?? { dims: [], layout: '' }
  /** What a convolution takes where it may choose. */
  const own = (x: unknown, format: string): bigint => {
    const given = of(x)
    return descriptor(given.layout === 'any' ? { ...given, layout: format } : given)
  }
  const make: Library['make'] = (name, ...args) => {
    switch (name) {
      case 'dnnl_memory_desc_create_with_strides':
        return descriptor({ dims: numbers(args[1]), layout: numbers(args[3]).join() })
      case 'dnnl_memory_desc_create_with_tag':
        return descriptor({ dims: numbers(args[1]), layout: args[3] === any ? 'any' : String(args[3]) })
      case 'dnnl_convolution_forward_primitive_desc_create':
        return primitive('convolution', [
          [query.source, own(args[3], 'picture')],
          [query.weights, own(args[4], 'for forward')],
          [query.destination, own(args[6], 'picture')],
        ])
      case 'dnnl_convolution_backward_data_primitive_desc_create':
        return primitive('input gradient', [
          [query.diffSource, own(args[2], 'picture')],
          [query.weights, own(args[3], 'for backward')],
          [query.diffDestination, own(args[4], 'picture')],
        ])
      case 'dnnl_convolution_backward_weights_primitive_desc_create':
        return primitive('weight gradient', [
          [query.source, own(args[2], 'picture')],
          [query.diffWeights, own(args[3], 'of gradient')],
          [query.diffDestination, own(args[5], 'picture')],
        ])
      case 'dnnl_matmul_primitive_desc_create':
        return primitive('product', [])
      case 'dnnl_reorder_primitive_desc_create':
        return primitive('reorder', [])
      default:
        return ++last
    }
  }
  return {
    path: '',
    version: '',
    engine: null,
    stream: null,
    omp: undefined,
    make,
    call: () => {},
    ask: (name, ...args) => {
      if (name === 'dnnl_memory_desc_get_size') return BigInt(of(args[0]).dims.reduce((n, d) => n * d, 4))
      if (name === 'dnnl_memory_desc_equal') return JSON.stringify(of(args[0])) === JSON.stringify(of(args[1])) ? 1 : 0
      if (name === 'dnnl_primitive_desc_query_md')
        return primitives.get(asHandle(args[0]) ?? 0n)?.arrays.get(Number(args[1])) ?? null
      return 0
    },
    implementation: (handle) => primitives.get(handle ?? 0n)?.implementation ?? '',
    addressOf: () => 0n,
  }
}
