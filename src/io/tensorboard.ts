import protobuf from 'protobufjs/light.js'

/**
 * TensorBoard's event files: records of a length, its masked CRC-32C, an `Event` of protobuf, and the masked CRC-32C of that.
 *
 * Source: `tensorflow/core/lib/io/record_writer.h`, `tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`.
 */

/** The parts of the protocol that are written here. */
const events = protobuf.Root.fromJSON({
  nested: {
    Event: {
      fields: {
        wallTime: { id: 1, type: 'double' },
        step: { id: 2, type: 'int64' },
        fileVersion: { id: 3, type: 'string' },
        summary: { id: 5, type: 'Summary' },
        sessionLog: { id: 7, type: 'SessionLog' },
      },
    },
    Summary: { fields: { value: { id: 1, type: 'Value', rule: 'repeated' } } },
    Value: {
      fields: {
        tag: { id: 1, type: 'string' },
        simpleValue: { id: 2, type: 'float' },
        image: { id: 4, type: 'Image' },
      },
    },
    Image: {
      fields: {
        height: { id: 1, type: 'int32' },
        width: { id: 2, type: 'int32' },
        colorspace: { id: 3, type: 'int32' },
        encodedImageString: { id: 4, type: 'bytes' },
      },
    },
    SessionLog: { fields: { status: { id: 1, type: 'int32' } } },
  },
}).lookupType('Event')

const table = Uint32Array.from({ length: 256 }, (_, byte) =>
  Array.from({ length: 8 }).reduce<number>((x) => (x & 1 ? (x >>> 1) ^ 0x82f63b78 : x >>> 1), byte),
)
/** CRC-32C (Castagnoli). */
export const crc32c = (bytes: Uint8Array): number =>
  ~bytes.reduce((crc, byte) => (crc >>> 8) ^ (table[(crc ^ byte) & 255] ?? 0), 0xffffffff) >>> 0
const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0

/** A record as it lies in the file. */
export const record = (data: Uint8Array): Uint8Array => {
  const out = new Uint8Array(data.length + 16)
  const view = new DataView(out.buffer)
  view.setBigUint64(0, BigInt(data.length), true)
  view.setUint32(8, masked(crc32c(out.subarray(0, 8))), true)
  out.set(data, 12)
  view.setUint32(12 + data.length, masked(crc32c(data)), true)
  return out
}

/** What is told at a time, seconds since 1970. */
export interface Told {
  readonly time: number
  readonly step: number
}
const encoded = ({ time, step }: Told, what: object): Uint8Array =>
  record(events.encode({ wallTime: time, step, ...what }).finish())

/** What a file begins with. */
export const beginning = (at: Told): Uint8Array => encoded(at, { fileVersion: 'brain.Event:2' })
/** Steps from here on are told anew. */
export const anew = (at: Told): Uint8Array => encoded(at, { sessionLog: { status: 1 } })
export const scalars = (at: Told, values: Readonly<Record<string, number>>): Uint8Array =>
  encoded(at, { summary: { value: Object.entries(values).map(([tag, simpleValue]) => ({ tag, simpleValue })) } })
/** A PNG file, whose header says how large it is. */
export const image = (at: Told, tag: string, png: Uint8Array): Uint8Array => {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength)
  const [width, height] = [view.getUint32(16), view.getUint32(20)]
  return encoded(at, {
    summary: { value: [{ tag, image: { height, width, colorspace: 3, encodedImageString: png } }] },
  })
}
