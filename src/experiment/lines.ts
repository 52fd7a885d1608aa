import { type MemberNode, parse, type ValueNode } from '@humanwhocodes/momoa'
import { isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Errors, LatentError } from '../error.ts'
import { RNEA } from '../prelude.ts'

/** On which lines of a file the fields stand that errors point at. */

/** How many of a pointer's keys a document has, and the line of the last of them, from 1. */
interface Found {
  readonly depth: number
  readonly line: number
}
type Find = (text: string, keys: readonly string[]) => Found

const nameOf = ({ name }: MemberNode): string => (name.type === 'String' ? name.value : name.name)

const inJson: Find = (text, keys) => {
  const down = (node: ValueNode, depth: number, line: number): Found => {
    const key = keys[depth]
    if (node.type === 'Object') {
      const member = node.members.find((m) => nameOf(m) === key)
      if (member !== undefined) return down(member.value, depth + 1, member.loc.start.line)
    }
    const element = node.type === 'Array' ? node.elements[Number(key)] : undefined
    return element === undefined ? { depth, line } : down(element.value, depth + 1, element.loc.start.line)
  }
  return down(parse(text.replace(/^\uFEFF/, '')).body, 0, 1)
}

const inYaml: Find = (text, keys) => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, version: '1.2' })
  const lineAt = (offset: number): number => lines.linePos(offset).line
  const down = (node: unknown, depth: number, line: number): Found => {
    const key = keys[depth]
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key)
      if (pair !== undefined && isScalar(pair.key)) return down(pair.value, depth + 1, lineAt(pair.key.range?.[0] ?? 0))
    }
    const item = isSeq(node) ? node.items[Number(key)] : undefined
    const at = isScalar(item) || isMap(item) || isSeq(item) ? item.range?.[0] : undefined
    return at === undefined ? { depth, line } : down(item, depth + 1, lineAt(at))
  }
  return down(document.contents, 0, 1)
}

export const isYaml = (path: string): boolean => /\.ya?ml$/i.test(path)

const keysOf = (pointer: string): readonly string[] =>
  pointer
    .slice(1)
    .split('/')
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))

/** What is said of documents, and not of files or of what they hold. */
const ofDocuments: readonly LatentError['tag'][] = ['config', 'shape', 'lint', 'graph']

/**
 * Errors at pointers into a file with the line that each points at, or of what is around where that is not there. None of what was `set`
 * by an option, whose place is no line.
 */
export const lined = (path: string, text: string, set: readonly string[]): ((errors: Errors) => Errors) =>
  RNEA.map((e) => {
    const pointer = /^\/[^:\s]*/.exec(e.at)?.[0]
    if (pointer === undefined || !ofDocuments.includes(e.tag)) return e
    if (set.some((one) => pointer === one || pointer.startsWith(`${one}/`))) return e
    const { depth, line } = (isYaml(path) ? inYaml : inJson)(text, keysOf(pointer))
    return depth === 0 ? e : { ...e, line: `${path}:${line}` }
  })
