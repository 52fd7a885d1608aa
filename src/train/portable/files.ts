import type { Effect } from '../../error.ts'
import type { Outside } from '../../execute/onnx/outside.ts'
import { encodePortable, type Model } from '../../execute/onnx/proto.ts'
import type { Constant } from '../../execute/onnx/value.ts'
import type { Content } from '../../io/atomic.ts'
import { TE } from '../../prelude.ts'

/** Protobuf allows 2^31 bytes in all; what is no array has the rest. */
const mostWithin = 2 ** 31 - 2 ** 24
/** Runtimes read sizes and axes within the model alone; the onnx package keeps arrays below so many bytes there too. */
const fewest = 1024
/** Pages, so that a runtime can map the arrays where they lie. */
const alignment = 4096

export interface PortableFile {
  readonly name: string
  readonly content: Content
}

const bytesOf = ({ data }: Constant): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/**
 * A model as the files of it: `name.onnx`, and where its arrays have more bytes than `most`, `name.onnx.data` before it, in which they lie.
 * Pure; arrays are copied as they are written.
 */
export const portableFiles = (name: string, model: Model, doc: string, most = mostWithin): readonly PortableFile[] => {
  const all = model.initializers.flatMap(({ name: array, value }) =>
    value.kind === 'constant' ? [{ array, bytes: bytesOf(value) }] : [],
  )
  if (all.reduce((n, { bytes }) => n + bytes.length, 0) <= most)
    return [{ name: `${name}.onnx`, content: encodePortable(model, doc) }]
  const arrays = all.filter(({ bytes }) => bytes.length >= fewest)
  const location = `${name}.onnx.data`
  const locations: Map<string, { location: string; offset: number; length: number }> = new Map()
  const content: Effect<Uint8Array>[] = []
  let offset = 0
  for (const { array, bytes } of arrays) {
    const gap = -offset & (alignment - 1)
    locations.set(array, { location, offset: offset + gap, length: bytes.length })
    content.push(
      TE.fromIO(() => new Uint8Array(gap)),
      TE.right(bytes),
    )
    offset += gap + bytes.length
  }
  const outside: Pick<Outside, 'locations'> = { locations }
  return [
    { name: location, content },
    { name: `${name}.onnx`, content: encodePortable(model, doc, outside) },
  ]
}
