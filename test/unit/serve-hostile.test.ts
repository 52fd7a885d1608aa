import { connect } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fake, listen, serving, wanted } from './serve-fakes.ts'

/**
 * Hostile requests over sockets of this machine. HOSTILE says how many; HOSTILE_PORT and HOSTILE_MODEL name a server that runs already:
 * so many more can be sent to `latentgraph serve` by hand.
 */

const count = Number(process.env.HOSTILE ?? 300)
/** Connections at once. */
const atOnce = 32
const model = process.env.HOSTILE_MODEL ?? 'fake'

const json = 'content-type: application/json'
const bytes = 'content-type: application/octet-stream'
const sample = `/api/models/${model}/sample`
const http =
  (method: string, path: string, headers: readonly string[], body: string | Buffer = '') =>
  (host: string) =>
    Buffer.concat([
      Buffer.from(
        [
          `${method} ${path} HTTP/1.1`,
          `host: ${host}`,
          'connection: close',
          ...headers,
          `content-length: ${Buffer.byteLength(body)}`,
          '',
          '',
        ].join('\r\n'),
      ),
      Buffer.from(body),
    ])

type Request = (host: string) => Buffer
const paths = fc.oneof(
  fc.constantFrom('/../../etc/passwd', '/%2e%2e%2fetc/passwd', '//', '/%00', '/%', '/api/models/__proto__/sample'),
  fc.constantFrom(
    '/api/gallery/1/..%2f..',
    `/api/models/${model}/training/diffusion/..%2fmetrics.jsonl`,
    '*',
    'http://x/',
  ),
  fc.webPath().map((path) => `/${path}`),
  fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((path) => `/${path}`),
)
const settings = fc.oneof(
  fc.json(),
  fc
    .record({
      ...Object.fromEntries(Object.entries(wanted).map(([k, v]) => [k, fc.oneof(fc.constant(v), fc.jsonValue())])),
    })
    .map((value) => JSON.stringify(value)),
  fc.constantFrom('', '{', '[]', 'null', '{"__proto__":{"count":1}}', '{"count":1e999}', '{"prompt":"\\ud800"}'),
  fc.constantFrom('['.repeat(100_000), '{"a":'.repeat(50_000), `"${'x'.repeat(2_000_000)}"`, '9'.repeat(100_000)),
  fc.constant(JSON.stringify({ ...wanted, from: { kind: 'picture', strength: 1, picture: 'A'.repeat(100_000) } })),
)
const requests: fc.Arbitrary<Request> = fc.oneof(
  fc
    .tuple(fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'HEAD'), paths)
    .map(([method, path]) => http(method, path, [])),
  settings.map((body) => http('POST', sample, [json], body)),
  fc
    .uint8Array({ maxLength: 3000 })
    .map((body) => http('POST', `/api/models/${model}/picture`, [bytes], Buffer.from(body))),
  // Parts of a PNG that ends early, or says that it is huge.
  fc.tuple(fc.nat(2 ** 31), fc.nat(2 ** 31)).map(([width, height]) => {
    const head = Buffer.from('89504e470d0a1a0a0000000d49484452000000000000000008020000000000000000', 'hex')
    head.writeUInt32BE(width, 16)
    head.writeUInt32BE(height, 20)
    return http('POST', `/api/models/${model}/picture`, [bytes], head)
  }),
  fc
    .constantFrom(
      'origin: http://evil.example',
      'origin: null',
      'sec-fetch-site: cross-site',
      `x: ${'y'.repeat(20_000)}`,
    )
    .map((header) => http('POST', sample, [json, header], JSON.stringify(wanted))),
  fc.constantFrom('evil.example', '', '127.0.0.1:1', '[::1', 'a b').map((host) => () => http('GET', '/', [])(host)),
  fc
    .constantFrom('text/plain', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded', '')
    .map((type) => http('POST', sample, [`content-type: ${type}`], JSON.stringify(wanted))),
  fc.uint8Array({ minLength: 1, maxLength: 500 }).map((raw) => () => Buffer.from(raw)),
  fc
    .constantFrom(
      'GET / HTTP/9.9\r\n\r\n',
      'GET /\r\n\r\n',
      'POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nzz',
      '\r\n\r\n\r\n',
    )
    .map((raw) => () => Buffer.from(raw)),
)

/** The status of the answer; 0 where the connection was closed without one, as it is where what came is no HTTP. */
const send = (port: number, request: Request, leave: boolean): Promise<number> =>
  new Promise((resolve) => {
    let [head, status] = ['', 0]
    const socket = connect(port, '127.0.0.1', () => socket.write(request(`127.0.0.1:${port}`)))
    socket.on('data', (data) => {
      if (head.length < 20) head += data.toString('latin1')
      status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0)
      if (leave) socket.destroy()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(status))
    socket.setTimeout(30_000, () => socket.destroy())
  })

test(`of ${count} hostile requests none is answered by a fault of the server, and it still draws`, async () => {
  const own =
    process.env.HOSTILE_PORT === undefined
      ? await serving('r', fake(), { times: { headers: 300, request: 400, checking: 50 } })
      : undefined
  const port = own === undefined ? Number(process.env.HOSTILE_PORT) : await listen(own)
  const all = fc.sample(fc.tuple(requests, fc.boolean()), { numRuns: count, seed: 1 })
  const statuses = new Map<number, number>()
  const left = all.values()
  const sender = async (): Promise<void> => {
    for (const [request, leave] of left) {
      const status = await send(port, request, leave)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, sender))
  if (own === undefined) console.log(Object.fromEntries(statuses))
  expect([...statuses.keys()].filter((status) => status >= 500 && status !== 503)).toEqual([])
  expect(await send(port, http('GET', '/', []), false)).toBe(200)
  expect(await send(port, http('POST', sample, [json], JSON.stringify(wanted)), false)).toBe(200)
  await own?.close()
}, 3_600_000)
