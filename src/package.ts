import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { optionalParts } from './optional.ts'

export const manifest = createRequire(import.meta.url).resolve('latentgraph/package.json')

/** A file of this package, wherever it is installed. */
export const packageFile = (...path: readonly string[]): string => join(dirname(manifest), ...path)

interface Manifest {
  readonly version: string
  readonly peerDependencies: Readonly<Record<string, string>>
}
const manifestOf = (): Manifest => JSON.parse(readFileSync(manifest, 'utf8'))

export const version = (): string => manifestOf().version

/** Packages of optional parts with the versions that go with this one, as a project's package.json has them. */
export const partPackages = (): Readonly<Record<string, string>> => {
  const { peerDependencies } = manifestOf()
  const names = Object.values(optionalParts).flatMap(({ packages }) => packages)
  return Object.fromEntries(names.map((name) => [name, peerDependencies[name] ?? '*']))
}
