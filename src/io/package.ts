import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

export const manifest = createRequire(import.meta.url).resolve('latentgraph/package.json')

/** A file of this package, wherever it is installed. */
export const packageFile = (...path: readonly string[]): string => join(dirname(manifest), ...path)

export const version = (): string => {
  const { version: found }: { readonly version: string } = JSON.parse(readFileSync(manifest, 'utf8'))
  return found
}
