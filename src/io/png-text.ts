import { crc32 } from 'node:zlib'
import { type Checked, fail } from '../error.ts'
import { E } from '../prelude.ts'
import { isPng, signature } from './png.ts'

/** Texts in PNG files: uncompressed `iTXt` chunks, which viewers show as comments (PNG specification, third edition, 11.3.3.4). */

/** Length, type and checksum of a chunk. */
const around = 12

interface Chunk {
  readonly type: string
  readonly data: Uint8Array
  /** Where it ends in the file. */
  readonly end: number
}

const chunksOf = (bytes: Uint8Array): readonly Chunk[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const chunks: Chunk[] = []
  for (let at = signature.length; at + around <= bytes.length; ) {
    const length = view.getUint32(at)
    const end = at + around + length
    if (end > bytes.length) break
    const type = new TextDecoder('latin1').decode(bytes.subarray(at + 4, at + 8))
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length), end })
    at = end
  }
  return chunks
}

const chunkOf = (type: string, data: Uint8Array): Uint8Array => {
  const chunk = new Uint8Array(around + data.length)
  const view = new DataView(chunk.buffer)
  view.setUint32(0, data.length)
  chunk.set(new TextEncoder().encode(type), 4)
  chunk.set(data, 8)
  view.setUint32(8 + data.length, crc32(chunk.subarray(4, 8 + data.length)))
  return chunk
}

/** A PNG with a text under a keyword of Latin letters. Errors (`file`): no PNG. */
export const withPngText = (bytes: Uint8Array, keyword: string, text: string, at: string): Checked<Uint8Array> => {
  const [header] = chunksOf(bytes)
  if (!isPng(bytes) || header === undefined) return fail('file', at, 'a PNG file', 'other bytes')
  // Keyword, no compression, no language, no translated keyword.
  const before = [...new TextEncoder().encode(keyword), 0, 0, 0, 0, 0]
  const chunk = chunkOf('iTXt', Uint8Array.from([...before, ...new TextEncoder().encode(text)]))
  const whole = new Uint8Array(bytes.length + chunk.length)
  whole.set(bytes.subarray(0, header.end))
  whole.set(chunk, header.end)
  whole.set(bytes.subarray(header.end), header.end + chunk.length)
  return E.right(whole)
}

/** The text under a keyword. Errors (`file`): no PNG, none that has it uncompressed. */
export const pngText = (bytes: Uint8Array, keyword: string, at: string): Checked<string> => {
  if (!isPng(bytes)) return fail('file', at, 'a PNG file', 'other bytes')
  for (const { type, data } of chunksOf(bytes)) {
    if (type !== 'iTXt') continue
    const end = data.indexOf(0)
    if (new TextDecoder('latin1').decode(data.subarray(0, end)) !== keyword || data[end + 1] !== 0) continue
    const language = data.indexOf(0, end + 3)
    const translated = data.indexOf(0, language + 1)
    if (language < 0 || translated < 0) continue
    return E.right(new TextDecoder().decode(data.subarray(translated + 1)))
  }
  return fail(
    'file',
    at,
    `a text under "${keyword}"`,
    'none',
    'pictures that sample has drawn from published models have it',
  )
}
