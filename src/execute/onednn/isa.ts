/** Bits of `dnnl_cpu_isa_t`, a set that holds the sets of older processors. */
const isas = { avx512: 0x27, bfloat16: 0xe7, float16: 0x1ef, matrixUnits: 0xfef, matrixUnitsOfFloat16: 0x1fef } as const
/** Whether a processor has what is named, by what the library says of it. */
export const hasIsa = (isa: number, set: keyof typeof isas): boolean => (isa & isas[set]) === isas[set]
