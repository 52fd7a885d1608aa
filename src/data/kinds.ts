import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { fileEffect, readBytes } from '../io/bytes.ts'
import { decodePicture } from '../io/images.ts'
import { E } from '../prelude.ts'
import type { Reason } from './left-out.ts'

/** Which files of a folder are pictures: by their ending, and where that does not tell by what they are. */

/** Always decoded; a file of these that is no picture is an error. */
const decoded = /\.(a?png|jpe?g|jpe|jfif|jif|jfi|pjpe?g|pjp|webp|gif|avifs?|tiff?|svgz?)$/i
/** Pictures that some builds of libvips decode, or that are often something else than their ending says. */
const perhaps =
  /\.(bmp|dib|hei[cf]s?|hif|jp2|j2[ck]|jp[fmx]|jxl|ico|cur|icns|p[bgnp]m|pfm|tga|psd|psb|xcf|exr|hdr|dds|pcx|qoi|fits?|eps|ai|pdf)$/i
/** Photographs of cameras: libvips would take the thumbnail in them. */
const raw = /\.(3fr|arw|cr[23w]|dcr|dng|erf|iiq|k25|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw[2l]|sr[2fw]|x3f)$/i

/** How files begin that are decoded whatever their name is. */
const beginnings = [/^\x89PNG\r\n/, /^\xff\xd8\xff/, /^GIF8[79]a/, /^RIFF.{4}WEBP/s, /^.{4}ftypavi[fs]/s]

const beginsAsPicture = async (path: string): Promise<boolean> => {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(16), 0, 16, 0)
    const head = buffer.subarray(0, bytesRead).toString('latin1')
    return beginnings.some((beginning) => beginning.test(head))
  } finally {
    await file.close()
  }
}

/** `named`: by its ending. `inside`: by its content, whatever its name says. Else why it is no picture to take. */
export type FileKind = 'named' | 'inside' | Reason

/** What a file of a folder is. Errors: `file`, where it cannot be read. */
export const fileKind = (dir: string, path: string): Effect<FileKind> =>
  effect(async (run) => {
    const at = join(dir, path)
    if (decoded.test(path)) return 'named'
    if (/(^|\/)metadata\.(jsonl?|csv|tsv|parquet|txt|jsonl\.\w+)$/i.test(path)) return 'metadata'
    if (raw.test(path)) return 'undecodable'
    if (perhaps.test(path))
      return E.isRight(await decodePicture(at, await run(readBytes(at)), { size: 1 })()) ? 'named' : 'undecodable'
    const picture = await run(fileEffect(at, 'a readable file', () => beginsAsPicture(at)))
    return picture ? 'inside' : 'other'
  })
