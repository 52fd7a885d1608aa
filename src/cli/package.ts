import { readFileSync } from 'node:fs'
import { manifest } from '../io/package.ts'

export const version = (): string => {
  const { version: found }: { readonly version: string } = JSON.parse(readFileSync(manifest, 'utf8'))
  return found
}
