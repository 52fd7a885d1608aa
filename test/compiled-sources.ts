import { existsSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { Plugin } from 'vite'

const root = join(import.meta.dirname, '..')
/** A folder of this run of the tests: what another run compiles anew must not be read while it is half written. */
export const compiledHere = join(root, 'dist', `e2e-${process.pid}`)

/** What tests import of `src` and `bench` they have compiled, as users do: where a transformed module looks each import up at every call, loops are twice as slow. */
export const compiledSources: Plugin = {
  name: 'compiled sources',
  enforce: 'pre',
  resolveId: (source, importer) => {
    if (importer === undefined) return null
    const path = source.startsWith('.') ? resolve(dirname(importer), source) : source
    const place = relative(root, path)
    if (!/^(src|bench)\//.test(place)) return null
    const compiled = join(compiledHere, place.replace(/\.ts$/, '.js'))
    return existsSync(compiled) ? compiled : null
  },
}
