import type { Part } from '../src/serve/static-files.ts'

/** Files of the page that are large: told of as they come, and kept by the browser under what is in them. */

const shelf = 'latentgraph'

/** Kept files of a name that are other than the one that is wanted now. */
const tidy = async (cache: Cache, url: URL): Promise<void> => {
  for (const { url: kept } of await cache.keys())
    if (new URL(kept).pathname === url.pathname && kept !== url.href) await cache.delete(kept)
}

/** Pages that are not secure have no caches; a browser may refuse them, too. */
const opened = async (): Promise<Cache | undefined> =>
  'caches' in globalThis ? caches.open(shelf).catch(() => undefined) : undefined

const read = async (response: Response, bytes: number, told: (done: number) => void) => {
  const { body } = response
  const whole = new Uint8Array(bytes)
  if (body === null) return whole
  const reader = body.getReader()
  for (let at = 0; ; ) {
    const { done, value } = await reader.read()
    if (done && at === bytes) return whole
    if (done || at + value.length > bytes) throw new Error(`other than the ${bytes} bytes that site.json tells of`)
    whole.set(value, at)
    at += value.length
    told(at)
  }
}

/** A file, from where the browser keeps it or from beside the page; told of how many bytes are there. */
export const load = async ({ file, bytes, sha256 }: Part, base: string, told: (done: number) => void) => {
  const url = new URL(`${file}?${sha256.slice(0, 16)}`, base)
  const cache = await opened()
  const kept = await cache?.match(url.href)
  if (kept !== undefined) {
    const found = new Uint8Array(await kept.arrayBuffer())
    if (found.length === bytes) {
      told(bytes)
      return found
    }
  }
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${file}: the server says ${response.status}`)
  const whole = await read(response, bytes, told)
  if (cache !== undefined) {
    await tidy(cache, url)
    // What has no room is fetched again another time.
    await cache.put(url.href, new Response(whole)).catch(() => undefined)
  }
  return whole
}
