import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { type Errors, failure, type LatentError } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import type { DrawingEvent, Models, Reconstructed, Refused, TrainingEvent } from './api.ts'
import { reconstructed } from './coder.ts'
import { coding } from './coding.ts'
import { bug, draw, givenOf } from './drawing.ts'
import { galleryOf } from './gallery.ts'
import { headers, refusal } from './guard.ts'
import { limits } from './limits.ts'
import type { Model } from './models.ts'
import { queueOf } from './queue.ts'
import { jsonOf, settingsOf } from './requests.ts'
import type { Site } from './site.ts'
import { streamOf } from './stream.ts'
import { follow, previewIn } from './training.ts'

/** The server of the page: what may be asked, and what is answered. */

export interface Serving {
  readonly models: readonly Model[]
  readonly site: Site
  readonly version: string
  /** The host that it listens on. */
  readonly listens: string
  /** How long a request may take, in ms; the limits' where left out. */
  readonly times?: { readonly headers: number; readonly request: number; readonly checking: number }
  /** Told of what is no visitor's fault. */
  readonly say: (line: string) => void
}

const refuse = (reply: FastifyReply, status: number, errors: readonly LatentError[]): FastifyReply => {
  const body: Refused = { errors }
  return reply.code(status).send(body)
}
const png = (reply: FastifyReply, bytes: Uint8Array | undefined, what: string): FastifyReply =>
  bytes === undefined
    ? refuse(reply, 404, [failure('usage', what, 'one that is there', 'none')])
    : reply.type('image/png').send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))

/** Errors of what was asked are the asker's; others are told as they are, too. */
const statusOf = (errors: Errors): number =>
  errors.every(({ tag }) => tag === 'usage' || tag === 'file' || tag === 'data') ? 422 : 503

export const serverOf = ({ models, site, version, listens, times = limits, say }: Serving): FastifyInstance => {
  const queue = queueOf(limits.waiting)
  const gallery = galleryOf()
  const followers = new Set<string>()
  const modelOf = (id: string): Model | undefined => models.find((model) => model.id === id)

  const app = Fastify({
    bodyLimit: limits.settings,
    requestTimeout: times.request,
    keepAliveTimeout: limits.keepAlive,
    maxRequestsPerSocket: limits.requestsOfConnection,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    http: {
      headersTimeout: times.headers,
      connectionsCheckingInterval: times.checking,
      maxHeaderSize: limits.headerBytes,
    },
  })
  app.server.maxConnections = limits.connections
  // Settings are JSON, pictures bytes: of a type that a foreign page cannot send without asking first.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_, body, done) => done(null, body))
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_, body, done) => done(null, body))

  app.addHook('onRequest', async (request, reply) => {
    reply.headers(headers)
    const refused = refusal(request.headers, { listens, port: request.raw.socket.localPort ?? 80 })
    if (refused !== undefined) return refuse(reply, 403, [refused])
    return undefined
  })
  app.setNotFoundHandler((_, reply) => refuse(reply, 404, [failure('usage', 'path', 'one that is served', 'another')]))
  app.setErrorHandler((error: { readonly statusCode?: number; readonly message: string }, _, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) say(`${error.message}\n`)
    return refuse(reply, status, [failure('usage', 'request', 'one that can be read', error.message)])
  })

  for (const [path, { type, bytes }] of site)
    app.get(path, (_, reply) => reply.type(type).send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)))

  app.get(
    '/api/models',
    async (): Promise<Models> => ({
      version,
      models: await Promise.all(models.map(({ view }) => view())),
    }),
  )
  app.get('/api/gallery', async () => gallery.all())
  app.get<{ Params: { id: string; name: string } }>('/api/gallery/:id/:name', async ({ params }, reply) =>
    png(reply, gallery.file(params.id, params.name), 'picture'),
  )

  const full = (reply: FastifyReply): FastifyReply =>
    refuse(reply.header('retry-after', '5'), 503, [
      failure('run', 'queue', `at most ${limits.waiting} that wait`, `${queue.waiting()}`, 'ask again later'),
    ])
  const unknown = (reply: FastifyReply): FastifyReply =>
    refuse(reply, 404, [failure('usage', 'model', models.map(({ id }) => id).join(' | '), 'another')])

  app.post<{ Params: { id: string } }>('/api/models/:id/sample', async (request, reply) => {
    const model = modelOf(request.params.id)
    const [run, about] = [model?.loaded(), model?.about()]
    if (model === undefined || run === undefined || about === undefined) return unknown(reply)
    if (typeof request.body !== 'string') return refuse(reply, 415, [failure('usage', 'body', 'JSON', 'other bytes')])
    const json = jsonOf(request.body)
    if (E.isLeft(json)) return refuse(reply, 400, json.left)
    const asked = pipe(
      E.Do,
      E.bind('settings', () => settingsOf(about, json.right)),
      E.bind('given', ({ settings }) => givenOf(about, settings)),
    )
    if (E.isLeft(asked)) return refuse(reply, 422, asked.left)
    const { settings, given } = asked.right
    if (queue.waiting() >= limits.waiting) return full(reply)
    reply.hijack()
    const stream = streamOf<DrawingEvent>(reply.raw)
    const failed = async (errors: readonly LatentError[]): Promise<void> => stream.send({ kind: 'failed', errors })
    const entered = queue.enter({
      signal: stream.gone,
      onPlace: (place) => void stream.send({ kind: 'queued', place }),
      work: async () => {
        const ended = await draw({
          coding,
          model,
          run: (await model.newest()) ?? run,
          about,
          settings,
          given,
          stream,
          gallery,
        })()
        if (E.isLeft(ended)) await failed(ended.left)
      },
    })
    await entered?.catch(async (reason) => {
      say(`${bug(reason).got}\n`)
      await failed([bug(reason)])
    })
    stream.end()
    return reply
  })

  app.post<{ Params: { id: string } }>(
    '/api/models/:id/picture',
    { bodyLimit: limits.picture },
    async (request, reply) => {
      const model = modelOf(request.params.id)
      const [run, about] = [model?.loaded(), model?.about()]
      const { body } = request
      if (model === undefined || run === undefined || about === undefined) return unknown(reply)
      if (!Buffer.isBuffer(body))
        return refuse(reply, 415, [
          failure('usage', 'body', 'the bytes of a picture, application/octet-stream', 'others'),
        ])
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      const found: { result?: E.Either<Errors, Reconstructed> } = {}
      const entered = queue.enter({
        signal: left.signal,
        onPlace: () => {},
        work: async () => {
          found.result = await reconstructed(coding, (await model.newest()) ?? run, about, body)()
        },
      })
      if (entered === undefined) return full(reply)
      await entered
      const { result } = found
      if (result === undefined) return reply
      return E.isLeft(result) ? refuse(reply, statusOf(result.left), result.left) : reply.send(result.right)
    },
  )

  app.get<{ Params: { id: string } }>('/api/models/:id/training', async ({ params }, reply) => {
    const model = modelOf(params.id)
    if (model === undefined) return unknown(reply)
    if (followers.size >= limits.followers)
      return refuse(reply.header('retry-after', '5'), 503, [
        failure('run', 'training', `at most ${limits.followers} pages that follow`, `${followers.size}`),
      ])
    const id = crypto.randomUUID()
    followers.add(id)
    reply.hijack()
    const stream = streamOf<TrainingEvent>(reply.raw)
    stream.gone.addEventListener('abort', () => followers.delete(id))
    const urlOf = (stage: string, name: string): string => `/api/models/${model.id}/training/${stage}/${name}`
    await follow(model.folder, urlOf, stream.send, stream.gone)().finally(() => followers.delete(id))
    stream.end()
    return reply
  })
  app.get<{ Params: { id: string; stage: string; name: string } }>(
    '/api/models/:id/training/:stage/:name',
    async ({ params: { id, stage, name } }, reply) => {
      const model = modelOf(id)
      return model === undefined ? unknown(reply) : png(reply, await previewIn(model.folder, stage, name), 'preview')
    },
  )
  return app
}
