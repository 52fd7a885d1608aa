import { open, stat } from 'node:fs/promises'
import { type Effect, type Errors, failure, reasonOf } from '../../error.ts'
import { pipe, TE } from '../../prelude.ts'

/** What stands in the header of an ELF file: the loader maps a file that ends early, and the process dies where it reads on. */

const headerBytes = 64
const machines: Readonly<Record<string, { readonly number: number; readonly called: string }>> = {
  x64: { number: 62, called: 'x86-64' },
  arm64: { number: 183, called: 'AArch64' },
}
const called = (machine: number): string =>
  Object.values(machines).find(({ number }) => number === machine)?.called ?? `machine ${machine}`

/** Libraries of other systems, by what their files begin with. */
const foreign = [
  { magic: 'cffaedfe', what: 'a library for macOS' },
  { magic: 'cafebabe', what: 'a library for macOS' },
  { magic: '4d5a', what: 'a library for Windows' },
] as const
const foreignOf = (header: Uint8Array): string | undefined => {
  const begins = Buffer.from(header.subarray(0, 4)).toString('hex')
  return foreign.find(({ magic }) => begins.startsWith(magic))?.what
}

/** Where the table of segments lies, which the loader maps. */
const segmentsIn = (header: Uint8Array) => {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  return header.length < headerBytes
    ? { at: 0, each: 0, count: 0 }
    : { at: Number(view.getBigUint64(32, true)), each: view.getUint16(54, true), count: view.getUint16(56, true) }
}
/** Where the last of the segments ends. */
const endOf = (segments: Uint8Array, { at, each, count }: ReturnType<typeof segmentsIn>): number => {
  const view = new DataView(segments.buffer, segments.byteOffset, segments.byteLength)
  const whole = each === 0 ? 0 : Math.min(count, Math.floor(segments.length / each))
  const ends = Array.from({ length: whole }, (_, i) =>
    each < 40 ? 0 : Number(view.getBigUint64(i * each + 8, true) + view.getBigUint64(i * each + 32, true)),
  )
  return Math.max(at + each * count, ...ends)
}
/** Why a file is no shared object for this processor, if it is none. */
export const faultOf = (
  header: Uint8Array,
  bytes: number,
  arch: string,
  segments: Uint8Array = new Uint8Array(),
): string | undefined => {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  if (header.length < headerBytes || view.getUint32(0) !== 0x7f454c46)
    return foreignOf(header) ?? `${bytes} bytes that are no ELF file`
  if (header[4] !== 2 || header[5] !== 1) return 'an ELF file that is not of 64 bits, little-endian'
  const machine = view.getUint16(18, true)
  const own = machines[arch]
  if (own !== undefined && machine !== own.number) return `a library for ${called(machine)}`
  const sections = Number(view.getBigUint64(40, true)) + view.getUint16(58, true) * view.getUint16(60, true)
  const end = Math.max(sections, endOf(segments, segmentsIn(header)))
  return end > bytes ? `${bytes} bytes of at least ${end}: it is cut short` : undefined
}

/** A file that the system's loader can be given. Errors: `compile`. */
export const checkLibrary = (path: string): Effect<void> =>
  pipe(
    TE.tryCatch(
      async () => {
        // A pipe would be waited for.
        if (!(await stat(path)).isFile()) throw new Error('something that is no file')
        const file = await open(path)
        const part = async (at: number, length: number): Promise<Uint8Array> => {
          const { bytesRead, buffer } = await file.read(new Uint8Array(length), 0, length, at)
          return buffer.subarray(0, bytesRead)
        }
        try {
          const { size } = await file.stat()
          const header = await part(0, headerBytes)
          const { at, each, count } = segmentsIn(header)
          const segments = at + each * count <= size ? await part(at, each * count) : new Uint8Array()
          return { header, segments, bytes: size }
        } finally {
          await file.close()
        }
      },
      (e): Errors => [failure('compile', path, 'a library that can be read', reasonOf(e))],
    ),
    TE.chain(({ header, segments, bytes }) => {
      const fault = process.platform === 'linux' ? faultOf(header, bytes, process.arch, segments) : undefined
      return fault === undefined
        ? TE.right(undefined)
        : TE.left([failure('compile', path, `a shared library for ${process.platform} ${process.arch}`, fault)])
    }),
  )
