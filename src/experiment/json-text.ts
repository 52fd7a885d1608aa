import { type DocumentNode, evaluate, type MemberNode, parse, type ValueNode } from '@humanwhocodes/momoa'
import { type Checked, type Errors, fail, failure, reasonOf } from '../error.ts'
import { E, pipe } from '../prelude.ts'

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
const duplicatesIn = (node: ValueNode): readonly MemberNode[] =>
  node.type === 'Array'
    ? node.elements.flatMap(({ value }) => duplicatesIn(value))
    : node.type === 'Object'
      ? node.members.flatMap((member, i) => [
          ...(node.members.slice(0, i).some((m) => nameOf(m) === nameOf(member)) ? [member] : []),
          ...duplicatesIn(member.value),
        ])
      : []

const refuseDuplicates =
  (path: string) =>
  ({ body }: DocumentNode): Checked<unknown> => {
    const [again] = duplicatesIn(body)
    return again === undefined
      ? E.right(evaluate(body))
      : fail(
          'file',
          `${path}:${again.loc.start.line}:${again.loc.start.column}`,
          'every key of an object once',
          `"${nameOf(again)}" twice`,
        )
  }

/**
 * What a JSON text says. Errors (`file`, at `path:line:column`): a text that is no JSON, an object with a key twice.
 */
export const parseJsonText = (text: string, path: string): Checked<unknown> =>
  pipe(
    E.tryCatch(() => parse(text.replace(/^\uFEFF/, '')), syntaxFailure(text, path)),
    E.flatMap(refuseDuplicates(path)),
  )
