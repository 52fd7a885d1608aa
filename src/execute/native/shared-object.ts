import { open } from 'node:fs/promises'
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

/** Why a file is no shared object for this processor, if it is none. */
export const faultOf = (header: Uint8Array, bytes: number, arch: string): string | undefined => {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  if (header.length < headerBytes || view.getUint32(0) !== 0x7f454c46) return `${bytes} bytes that are no ELF file`
  if (header[4] !== 2 || header[5] !== 1) return 'an ELF file that is not of 64 bits, little-endian'
  const machine = view.getUint16(18, true)
  const own = machines[arch]
  if (own !== undefined && machine !== own.number) return `a library for ${called(machine)}`
  const end = Number(view.getBigUint64(40, true)) + view.getUint16(58, true) * view.getUint16(60, true)
  return end > bytes ? `${bytes} bytes of at least ${end}: it is cut short` : undefined
}

/** A file that the system's loader can be given. Errors: `compile`. */
export const checkLibrary = (path: string): Effect<void> =>
  pipe(
    TE.tryCatch(
      async () => {
        const file = await open(path)
        try {
          const { bytesRead, buffer } = await file.read(new Uint8Array(headerBytes), 0, headerBytes, 0)
          return { header: buffer.subarray(0, bytesRead), bytes: (await file.stat()).size }
        } finally {
          await file.close()
        }
      },
      (e): Errors => [failure('compile', path, 'a library that can be read', reasonOf(e))],
    ),
    TE.chain(({ header, bytes }) => {
      const fault = process.platform === 'linux' ? faultOf(header, bytes, process.arch) : undefined
      return fault === undefined
        ? TE.right(undefined)
        : TE.left([failure('compile', path, `a shared library for ${process.platform} ${process.arch}`, fault)])
    }),
  )
