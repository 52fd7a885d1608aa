/** oneDNN's C interface of version 3: numbers of `dnnl_types.h`, and the functions that are called, with koffi's types. */

export const types = { f16: 1, bf16: 2, f32: 3, s32: 4 } as const
export const any = 1
/** Whatever type an array has. */
export const undefinedType = 0
export const forwardTraining = 64
export const direct = 1
/** A stream whose primitives run one after another. */
export const inOrder = 1
export const query = {
  implementation: 8,
  weights: 131,
  diffWeights: 132,
  source: 129,
  diffSource: 130,
  destination: 133,
  diffDestination: 134,
  scratchpad: 136,
} as const
export const argument = {
  source: 1,
  source1: 2,
  destination: 17,
  weights: 33,
  bias: 41,
  diffSource: 129,
  diffDestination: 145,
  diffWeights: 161,
  scratchpad: 80,
  /** What is added by the operation of that number after the primitive. */
  addend: (after: number): number => (after + 1) * 32_768 + 2,
} as const
export const binaryAdd = 0x1fff0
/** Where a primitive puts what it computes in between: in memory that it is given. */
export const givenScratchpad = 1

/** What a function returns beside 0. */
export const statuses: Readonly<Record<number, string>> = {
  1: 'out of memory',
  2: 'invalid arguments',
  3: 'unimplemented',
  4: 'last implementation reached',
  5: 'runtime error',
  6: 'not required',
}
export const unimplemented = 3

const [out, handle, dims] = ['_Out_ void**', 'void*', 'int64_t*']
/** Every function that is called: what it returns and takes. */
export const signatures = {
  dnnl_version: ['void*', []],
  dnnl_get_effective_cpu_isa: ['int', []],
  dnnl_engine_create: ['int', [out, 'int', 'size_t']],
  dnnl_engine_destroy: ['int', [handle]],
  dnnl_stream_create: ['int', [out, handle, 'uint32_t']],
  dnnl_memory_desc_create_with_strides: ['int', [out, 'int', dims, 'int', dims]],
  dnnl_memory_desc_create_with_tag: ['int', [out, 'int', dims, 'int', 'int']],
  dnnl_memory_desc_destroy: ['int', [handle]],
  dnnl_memory_desc_get_size: ['size_t', [handle]],
  dnnl_memory_desc_equal: ['int', [handle, handle]],
  dnnl_primitive_attr_create: ['int', [out]],
  dnnl_primitive_attr_destroy: ['int', [handle]],
  dnnl_primitive_attr_set_scratchpad_mode: ['int', [handle, 'int']],
  dnnl_primitive_attr_set_post_ops: ['int', [handle, handle]],
  dnnl_post_ops_create: ['int', [out]],
  dnnl_post_ops_destroy: ['int', [handle]],
  dnnl_post_ops_append_binary: ['int', [handle, 'int', handle]],
  dnnl_post_ops_append_sum: ['int', [handle, 'float', 'int', 'int']],
  dnnl_memory_create: ['int', [out, handle, handle, handle]],
  dnnl_memory_destroy: ['int', [handle]],
  dnnl_primitive_desc_query: ['int', [handle, 'int', 'int', '_Out_ const char**']],
  dnnl_primitive_desc_query_md: [handle, [handle, 'int', 'int']],
  dnnl_primitive_desc_destroy: ['int', [handle]],
  dnnl_primitive_create: ['int', [out, handle]],
  dnnl_primitive_destroy: ['int', [handle]],
  dnnl_primitive_execute: ['int', [handle, handle, 'int', handle]],
  dnnl_convolution_forward_primitive_desc_create: [
    'int',
    [out, handle, 'int', 'int', handle, handle, handle, handle, dims, dims, dims, dims, handle],
  ],
  dnnl_convolution_backward_data_primitive_desc_create: [
    'int',
    [out, handle, 'int', handle, handle, handle, dims, dims, dims, dims, handle, handle],
  ],
  dnnl_convolution_backward_weights_primitive_desc_create: [
    'int',
    [out, handle, 'int', handle, handle, handle, handle, dims, dims, dims, dims, handle, handle],
  ],
  dnnl_matmul_primitive_desc_create: ['int', [out, handle, handle, handle, handle, handle, handle]],
  dnnl_softmax_forward_primitive_desc_create: ['int', [out, handle, 'int', 'int', handle, handle, 'int', handle]],
  dnnl_reorder_primitive_desc_create: ['int', [out, handle, handle, handle, handle, handle]],
} as const satisfies Readonly<Record<string, readonly [string, readonly string[]]>>
export type Name = keyof typeof signatures

/** A pointer of the library's, or null. */
export type Handle = bigint | null
export type Argument = Handle | number | BigInt64Array | (string | bigint | null)[] | Uint8Array
export type Functions = { readonly [N in Name]: (...args: readonly Argument[]) => unknown }
