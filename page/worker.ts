import type { Errors, LatentError } from '../src/error.ts'
import { E, pipe } from '../src/prelude.ts'
import { type LoadedRun, loaded } from '../src/run/handle.ts'
import { openedOf } from '../src/run/own.ts'
import type { About, DrawingEvent, Settings } from '../src/serve/api.ts'
import { reconstructed } from '../src/serve/coder.ts'
import { bug, draw, givenOf } from '../src/serve/drawing.ts'
import { galleryOf } from '../src/serve/gallery.ts'
import { limits } from '../src/serve/limits.ts'
import { settingsOf } from '../src/serve/requests.ts'
import { drawnOf, inMemory } from '../src/serve/static.ts'
import type { Part, Site } from '../src/serve/static-files.ts'
import { canvasCoding } from './canvas-coding.ts'
import { chosen, engineOf } from './engines.ts'
import { load } from './files.ts'
import type { News, Order } from './messages.ts'

/** Draws for a page that has no server, beside it, so that it stays responsive. */

const tell = (news: News): void => postMessage(news)

interface Ready {
  readonly run: LoadedRun
  readonly about: About
  readonly site: Site
}
type Found = E.Either<readonly LatentError[], Ready>

/** Programs that are kept: a tab has less memory than a server. */
const kept = { programs: 8, bytes: 2 ** 30 }

const open = async ({ site, base, engine: wanted }: Extract<Order, { readonly kind: 'open' }>): Promise<Found> => {
  const { engine, says } = await chosen(wanted)
  const parts = [
    site.engines[engine].binary,
    site.diffusion,
    ...(site.firstStage === undefined ? [] : [site.firstStage]),
  ]
  const of = parts.reduce((sum, { bytes }) => sum + bytes, 0)
  const done = new Map<Part, number>()
  const told = (part: Part) => (bytes: number) => {
    done.set(part, bytes)
    const all = [...done.values()].reduce((sum, n) => sum + n, 0)
    tell({ kind: 'opening', opening: { done: Math.min(all, of - 1), of, says, errors: [] } })
  }
  const fetched = (part: Part): Promise<Uint8Array> => load(part, base, told(part))
  const [executor, diffusion, firstStage] = await Promise.all([
    engineOf(engine, site, base, told(site.engines[engine].binary)),
    fetched(site.diffusion),
    site.firstStage === undefined ? undefined : fetched(site.firstStage),
  ])
  const { about } = site.model
  if (about === undefined) throw new Error('the page says nothing of its model')
  const found = pipe(
    drawnOf(site, { diffusion, ...(firstStage === undefined ? {} : { firstStage }) }),
    E.map((run) => ({ run: loaded(openedOf(inMemory, run), executor, kept), about, site })),
  )
  tell({ kind: 'opening', opening: { done: of, of, says, errors: E.isLeft(found) ? found.left : [] } })
  return found
}

const state: { opened?: Promise<Found> } = {}
const ready = (): Promise<Found> =>
  state.opened ?? Promise.resolve(E.left([bug(new Error('the page has not opened its model'))]))

const gallery = galleryOf(limits.gallery, (_, __, bytes) =>
  URL.createObjectURL(new Blob([new Uint8Array(bytes)], { type: 'image/png' })),
)
const running = new Map<number, AbortController>()

/** Lets what has come in, such as a stop, be heard. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve))

const drawing = async (id: number, asked: Settings, signal: AbortSignal): Promise<void> => {
  const send = async (event: DrawingEvent): Promise<void> => {
    tell({ kind: 'drawing', id, event })
    await turn()
  }
  const failed = (errors: readonly LatentError[]): Promise<void> => send({ kind: 'failed', errors })
  const found = await ready()
  if (E.isLeft(found)) return failed(found.left)
  const { run, about, site } = found.right
  const wanted = pipe(
    E.Do,
    E.bind('settings', (): E.Either<Errors, Settings> => settingsOf(about, asked)),
    E.bind('given', ({ settings }) => givenOf(about, settings)),
  )
  if (E.isLeft(wanted)) return failed(wanted.left)
  const stream = { send, gone: signal }
  const ended = await draw({ coding: canvasCoding, model: site.model, run, about, ...wanted.right, stream, gallery })()
  if (E.isLeft(ended) && !signal.aborted) await failed(ended.left)
}

const picture = async (file: Blob) => {
  const found = await ready()
  if (E.isLeft(found)) return { errors: found.left }
  const { run, about } = found.right
  const made = await reconstructed(canvasCoding, run, about, new Uint8Array(await file.arrayBuffer()))()
  return E.isLeft(made) ? { errors: made.left } : made.right
}

type Does<K extends Order['kind']> = (order: Extract<Order, { readonly kind: K }>) => Promise<void>
const orders: { readonly [K in Order['kind']]: Does<K> } = {
  open: async (order) => {
    state.opened = open(order).catch((reason) => {
      const errors: readonly LatentError[] = [
        { tag: 'file', at: 'the page', expected: 'its files', got: bug(reason).got, hint: 'load the page again' },
      ]
      tell({ kind: 'opening', opening: { done: 0, of: 0, says: '', errors } })
      return E.left(errors)
    })
    await state.opened
  },
  sample: async ({ id, settings }) => {
    const left = new AbortController()
    running.set(id, left)
    await drawing(id, settings, left.signal).catch((reason) =>
      tell({ kind: 'drawing', id, event: { kind: 'failed', errors: [bug(reason)] } }),
    )
    running.delete(id)
    tell({ kind: 'ended', id })
  },
  stop: async ({ id }) => running.get(id)?.abort(),
  picture: async ({ id, file }) => {
    const found = await picture(file).catch((reason) => ({ errors: [bug(reason)] }))
    tell({ kind: 'picture', id, found })
  },
}
const obey = <K extends Order['kind']>(kind: K, order: Extract<Order, { readonly kind: K }>): Promise<void> =>
  orders[kind](order)

addEventListener('message', ({ data }: MessageEvent<Order>) => void obey(data.kind, data))
