import wabt from 'wabt'

/** Started once, with this module: it takes longer to start than to assemble most loops, and is faster once it has run. */
const assembler = await wabt()

/** WebAssembly's text as its binary. Throws where the text is none. */
export const assemble = (text: string): Uint8Array<ArrayBuffer> => {
  const parsed = assembler.parseWat('loops.wat', text, { simd: true, threads: true })
  try {
    return new Uint8Array(parsed.toBinary({}).buffer)
  } finally {
    parsed.destroy()
  }
}
