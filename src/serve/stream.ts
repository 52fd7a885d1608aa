import type { ServerResponse } from 'node:http'
import { headers } from './guard.ts'
import { limits } from './limits.ts'

/** Server-sent events (WHATWG HTML, 9.2) to a reader that may be slow, or gone. */

export interface Stream<A> {
  /** Resolves once the reader has room again; at once where it is gone. */
  readonly send: (event: A) => Promise<void>
  /** Whether what was sent is still on its way. */
  readonly full: () => boolean
  /** Aborted when the reader is gone, or has taken nothing for too long. */
  readonly gone: AbortSignal
  readonly end: () => void
}

const drained = (response: ServerResponse, gone: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const late = setTimeout(() => response.destroy(), limits.stalled)
    const done = (): void => {
      clearTimeout(late)
      response.off('drain', done)
      gone.removeEventListener('abort', done)
      resolve()
    }
    response.once('drain', done)
    gone.addEventListener('abort', done, { once: true })
  })

export const streamOf = <A>(response: ServerResponse): Stream<A> => {
  const left = new AbortController()
  const { signal: gone } = left
  response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
  const beat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(': \n\n')
  }, limits.heartbeat)
  response.once('close', () => {
    clearInterval(beat)
    left.abort()
  })
  response.on('error', () => left.abort())
  return {
    gone,
    full: () => response.writableNeedDrain,
    send: async (event) => {
      if (gone.aborted) return
      if (!response.write(`data: ${JSON.stringify(event)}\n\n`)) await drained(response, gone)
    },
    end: () => {
      clearInterval(beat)
      response.end()
    },
  }
}
