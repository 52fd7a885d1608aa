import { type Checked, fail, reasonOf } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import { type Decoded, decode, integer, record, tagged, text } from '../../schema.ts'

/**
 * What processes that belong together say to the first of them, and it to them: over TCP, each message a length in 4 bytes, the highest
 * first, and so many bytes of JSON. Values are base64.
 */

/** Bytes of a message; those of one who has not said yet who he is. */
export const limits = { message: 2 ** 22, hello: 2 ** 10 } as const
export const protocol = 'latentgraph ranks 1'

export const request = tagged('kind', {
  /** Who is there, the first message of each. */
  hello: record({ protocol: text, version: text, rank: integer({ min: 0 }), ranks: integer({ min: 2 }) }),
  /** A value, which is gone once it was read so often. */
  put: record({ key: text, value: text }, {}, { reads: integer({ min: 1 }) }),
  /** Asks for a value that may come yet, for so long (ms); as long as it takes where left out. */
  get: record({ id: integer({ min: 0 }), key: text }, {}, { within: integer({ min: 0 }) }),
  /** Asks for all to stop. */
  stop: record({}),
  /** Leaves, as all is done. */
  bye: record({}),
  /** Ends with an error. */
  failed: record({ reason: text }),
  alive: record({}),
})
export type Request = Decoded<typeof request>

export const reply = tagged('kind', {
  /** All are there. */
  welcome: record({}),
  refused: record({ expected: text, got: text }),
  value: record({ id: integer({ min: 0 }), value: text }),
  /** It has not come in time. */
  missing: record({ id: integer({ min: 0 }) }),
  /** One of all has gone, so that the others cannot go on. */
  lost: record({ rank: integer({ min: 0 }), reason: text }),
  alive: record({}),
})
export type Reply = Decoded<typeof reply>

const lengthBytes = 4
/** Errors (`run`): longer than messages may be. */
export const framed = (message: Request | Reply): Checked<Uint8Array> => {
  const body = new TextEncoder().encode(JSON.stringify(message))
  if (body.length > limits.message)
    return fail('run', 'a message between ranks', `at most ${limits.message} bytes`, `${body.length}`)
  const frame = new Uint8Array(lengthBytes + body.length)
  new DataView(frame.buffer).setUint32(0, body.length)
  frame.set(body, lengthBytes)
  return E.right(frame)
}

const json = (bytes: Uint8Array): Checked<unknown> => {
  try {
    return E.right(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
  } catch (e) {
    return fail('run', 'a message between ranks', 'JSON', reasonOf(e))
  }
}
/** Puts pieces of a stream together: of each what it completes. Errors (`run`): a message that is too long, or none. */
export const unframing = <A>(of: Parameters<typeof decode<A>>[0], limit: () => number) => {
  let rest: Uint8Array = new Uint8Array()
  return (piece: Uint8Array): Checked<readonly A[]> => {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    const messages: A[] = []
    let at = 0
    while (bytes.length - at >= lengthBytes) {
      const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0)
      if (length > limit()) return fail('run', 'a message between ranks', `at most ${limit()} bytes`, `${length}`)
      if (bytes.length - at - lengthBytes < length) break
      const read = pipe(
        json(bytes.subarray(at + lengthBytes, at + lengthBytes + length)),
        E.flatMap(decode(of, { tag: 'run' })),
      )
      if (E.isLeft(read)) return read
      messages.push(read.right)
      at += lengthBytes + length
    }
    rest = bytes.slice(at)
    return E.right(messages)
  }
}
