import type { DrawingEvent, Reconstructed, Refused } from '../src/serve/api.ts'
import { engineNames, type Site } from '../src/serve/static-files.ts'
import type { Backend, Opening } from './backend.ts'
import type { News, Order } from './messages.ts'

/** A page without a server: a worker draws. */

/** `?on=wasm`: what draws, where another is wanted than the page would choose. */
const wanted = new URLSearchParams(location.search).get('on')
const engine = engineNames.find((name) => name === wanted)

type Told<K extends News['kind']> = (news: Extract<News, { readonly kind: K }>) => void

const start = () => {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })
  const drawings = new Map<number, { readonly told: (event: DrawingEvent) => void; readonly ended: () => void }>()
  const pictures = new Map<number, (found: Reconstructed | Refused) => void>()
  const listeners = new Set<(opening: Opening) => void>()
  const state: { opening?: Opening; made: number } = { made: 0 }
  const open = (opening: Opening): void => {
    state.opening = opening
    for (const told of listeners) told(opening)
  }
  const tellings: { readonly [K in News['kind']]: Told<K> } = {
    opening: ({ opening }) => open(opening),
    drawing: ({ id, event }) => drawings.get(id)?.told(event),
    ended: ({ id }) => {
      drawings.get(id)?.ended()
      drawings.delete(id)
    },
    picture: ({ id, found }) => {
      pictures.get(id)?.(found)
      pictures.delete(id)
    },
  }
  const tell = <K extends News['kind']>(kind: K, news: Extract<News, { readonly kind: K }>): void =>
    tellings[kind](news)
  worker.addEventListener('message', ({ data }: MessageEvent<News>) => tell(data.kind, data))
  worker.addEventListener('error', ({ message }) =>
    open({
      done: 0,
      of: 0,
      says: '',
      errors: [
        { tag: 'run', at: 'the page', expected: 'a worker that draws', got: message || 'one that cannot start' },
      ],
    }),
  )
  const order = (what: Order): void => worker.postMessage(what)
  const next = (): number => ++state.made
  return { order, next, drawings, pictures, listeners, state }
}

const siteOf = async (): Promise<Site> => JSON.parse(await (await fetch('site.json')).text())

export const inBrowser = (): Backend => {
  const { order, next, drawings, pictures, listeners, state } = start()
  const site = siteOf().then((found) => {
    order({ kind: 'open', site: found, base: new URL('.', location.href).href, engine })
    return found
  })
  return {
    says: 'all of it in this tab; nothing is sent anywhere.',
    exactly: false,
    models: async () => {
      const { version, model } = await site
      return { version, models: [model] }
    },
    gallery: async () => [],
    sample: (_, settings, told, signal) =>
      new Promise((ended, stopped) => {
        const id = next()
        drawings.set(id, { told, ended })
        const stop = (): void => {
          order({ kind: 'stop', id })
          stopped(signal.reason)
        }
        signal.addEventListener('abort', stop, { once: true })
        order({ kind: 'sample', id, settings })
      }),
    picture: (_, file) =>
      new Promise((found) => {
        const id = next()
        pictures.set(id, found)
        order({ kind: 'picture', id, file })
      }),
    training: () => () => undefined,
    opening: (told) => {
      listeners.add(told)
      if (state.opening !== undefined) told(state.opening)
      return () => void listeners.delete(told)
    },
  }
}
