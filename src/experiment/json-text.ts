import {
  type DocumentNode,
  evaluate,
  type MemberNode,
  type NumberNode,
  parse,
  type ValueNode,
} from '@humanwhocodes/momoa'
import { type Checked, collect, type Errors, fail, failure, reasonOf } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { escapePointer } from '../schema.ts'

interface Place {
  readonly line: unknown
  readonly column: unknown
}
const endOf = (text: string): Place => {
  const lines = text.split('\n')
  return { line: lines.length, column: (lines.at(-1) ?? '').length + 1 }
}

/** Where a text stops being JSON, and what stands there. */
const syntaxFailure =
  (text: string, path: string) =>
  (reason: unknown): Errors => {
    const what = reasonOf(reason).replace(/( found)?\.?( \(\d+:\d+\))?$/, '')
    const at = what.endsWith('end of input')
      ? endOf(text)
      : reason instanceof Error && 'line' in reason && 'column' in reason
        ? reason
        : undefined
    return [failure('file', at === undefined ? path : `${path}:${at.line}:${at.column}`, 'a JSON document', what)]
  }

const nameOf = ({ name }: MemberNode): string => (name.type === 'String' ? name.value : name.name)

/** Members whose object already has one of that name. */
const duplicatesIn = (node: ValueNode): readonly MemberNode[] => {
  if (node.type === 'Array') return node.elements.flatMap(({ value }) => duplicatesIn(value))
  if (node.type !== 'Object') return []
  const seen = new Set<string>()
  return node.members.flatMap((member) => {
    const again = seen.has(nameOf(member)) ? [member] : []
    seen.add(nameOf(member))
    return [...again, ...duplicatesIn(member.value)]
  })
}

/** A number and its JSON pointer. */
interface Placed {
  readonly pointer: string
  readonly number: NumberNode
}
const numbersIn = (node: ValueNode, pointer: string): readonly Placed[] =>
  node.type === 'Number'
    ? [{ pointer, number: node }]
    : node.type === 'Array'
      ? node.elements.flatMap(({ value }, i) => numbersIn(value, `${pointer}/${i}`))
      : node.type === 'Object'
        ? node.members.flatMap((m) => numbersIn(m.value, `${pointer}/${escapePointer(nameOf(m))}`))
        : []

/** Whether a 64-bit float has another value than its text: too large, too near 0, or an integer of too many digits. */
export const misread = (text: string, value: number): boolean =>
  !Number.isFinite(value) ||
  (value === 0 && /[1-9]/.test(text.replace(/e.*$/i, ''))) ||
  (/^-?[1-9]\d*$/.test(text) && text !== String(value) && BigInt(text) !== BigInt(value))

const refuseMisread =
  (text: string, path: string) =>
  (document: DocumentNode): Checked<DocumentNode> =>
    pipe(
      collect(
        numbersIn(document.body, '').flatMap(({ pointer, number: { value, loc } }) => {
          const written = text.slice(loc.start.offset, loc.end.offset)
          return misread(written, value)
            ? [
                fail(
                  'file',
                  `${path}:${loc.start.line}:${loc.start.column}`,
                  `a number that 64-bit floats have${pointer === '' ? '' : `, at ${pointer}`}`,
                  written,
                ),
              ]
            : []
        }),
      ),
      E.map(() => document),
    )

const refuseDuplicates =
  (path: string) =>
  (document: DocumentNode): Checked<DocumentNode> =>
    pipe(
      collect(
        duplicatesIn(document.body).map((again) =>
          fail(
            'file',
            `${path}:${again.loc.start.line}:${again.loc.start.column}`,
            'every key of an object once',
            `"${nameOf(again)}" twice`,
          ),
        ),
      ),
      E.map(() => document),
    )

/**
 * What a JSON text says. Errors (`file`, at `path:line:column`): a text that is no JSON, an object with a key twice, a number that
 * would be read as another one (`1e400`).
 */
export const parseJsonText = (text: string, path: string): Checked<unknown> => {
  const plain = text.replace(/^\uFEFF/, '')
  return pipe(
    E.tryCatch(() => parse(plain), syntaxFailure(plain, path)),
    E.flatMap(refuseDuplicates(path)),
    E.flatMap(refuseMisread(plain, path)),
    E.map(({ body }) => evaluate(body)),
  )
}
