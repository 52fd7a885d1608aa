import { request as ask } from 'node:http'
import { effect, failure } from '../../src/error.ts'
import type { Picture } from '../../src/io/pictures.ts'
import { TE } from '../../src/prelude.ts'
import type { Drawable } from '../../src/serve/drawable.ts'
import { openModel } from '../../src/serve/models.ts'
import { type Serving, serverOf } from '../../src/serve/server.ts'
import { right } from '../arbitrary/run.ts'

/** A server of a model that costs nothing: pictures of 8x8 of one grey, which seed and place say. */

export const side = 8
export const grey = (value: number): Picture => ({
  width: side,
  height: side,
  data: new Uint8Array(3 * side * side).fill(value % 256),
})

/** What a fake was asked, and how many steps it has made. */
export interface Seen {
  steps: number
  stopped: number
}

export const fake = (seen: Seen = { steps: 0, stopped: 0 }, pause = 0): Drawable => ({
  describe: {
    name: 'fake',
    condition: 'text',
    samplers: ['ddim', 'euler'],
    spacings: ['trailing', 'karras'],
    defaults: { steps: 5, guidance: 2, sampler: 'ddim', spacing: 'trailing', seed: 3, count: 4 },
    size: { width: side, height: side },
    maxCount: 1000,
  },
  sample: ({ seed = 0, count = 1, steps = 1, prompt, signal, onStep } = {}) =>
    effect(async (run) => {
      if (prompt === 'a bug') throw new Error('a bug that was asked for')
      for (let done = 1; done <= steps; done++) {
        await new Promise((resolve) => setTimeout(resolve, pause))
        seen.steps += 1
        const predicted = () => TE.right(Array.from({ length: count }, () => grey(done)))
        await onStep?.({ done, of: steps, from: 0, n: count, predicted })
        if (signal?.aborted !== true) continue
        seen.stopped += 1
        await run(TE.left([failure('stopped', 'sampling', 'to the end', 'an abort')]))
      }
      return Array.from({ length: count }, (_, i) => grey(seed + i))
    }),
  reconstruct: (pictures) => TE.right(pictures),
  dispose: () => undefined,
})

const page = new Map([['/', { type: 'text/html; charset=utf-8', bytes: new TextEncoder().encode('<!doctype html>') }]])

/** A server that does not listen yet. */
export const serving = async (run: string, drawable: Drawable, more: Partial<Serving> = {}) => {
  const model = right(await openModel({ run, id: 'fake' }, () => TE.right(drawable))())
  return serverOf({ models: [model], site: page, version: '0', listens: '127.0.0.1', say: () => undefined, ...more })
}

export const wanted = { prompt: 'x', count: 2, seed: 7, steps: 3, guidance: 1.5, sampler: 'ddim', spacing: 'trailing' }

export interface Answer {
  readonly status: number
  readonly text: string
}
/** Asks over a socket; `onData` sees what has come so far, and ends it by returning true. */
export const post = (
  port: number,
  path: string,
  body: string,
  onData: (soFar: string) => boolean = () => false,
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = ask(
      { host: '127.0.0.1', port, path, method: 'POST', headers: { 'content-type': 'application/json' }, agent: false },
      (response) => {
        let text = ''
        const done = (): void => resolve({ status: response.statusCode ?? 0, text })
        response.on('data', (data) => {
          text += data
          if (!onData(text)) return
          request.destroy()
          done()
        })
        response.on('end', done)
        response.on('error', done)
      },
    )
    request.on('error', reject)
    request.end(body)
  })

/** Listens on a port that is free; returns it. */
export const listen = async (app: Awaited<ReturnType<typeof serving>>): Promise<number> => {
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
