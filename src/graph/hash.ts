import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Graph } from './graph.ts'

const digest = (s: string): string => bytesToHex(sha256(utf8ToBytes(s)))

/** JSON with sorted keys: one text for one value. */
export const canonicalJson = (u: unknown): string =>
  JSON.stringify(u, (_, v: unknown) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  )

/**
 * The content of a graph as 64 hexadecimal digits. Each node is hashed with the hashes of its operands, so that
 * neither the order of declaration, nor scopes, nor unused nodes change it.
 */
export const contentHash = (g: Graph): string => {
  const hashes: string[] = []
  for (const n of g.nodes)
    hashes.push(digest(`${n.op}${canonicalJson(n.attributes)}${n.operands.map((o) => hashes[o]).join()}`))
  return digest(canonicalJson(Object.fromEntries(Object.entries(g.outputs).map(([name, i]) => [name, hashes[i]]))))
}
