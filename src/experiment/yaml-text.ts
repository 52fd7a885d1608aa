import { isAlias, isScalar, LineCounter, parseAllDocuments, visit } from 'yaml'
import { type Checked, failure, type LatentError, reasonOf } from '../error.ts'
import { E } from '../prelude.ts'
import { misread } from './json-text.ts'

/** What a library's message says before it shows the text. */
const firstLine = (message: string): string => message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? ''

/**
 * What a YAML 1.2 text says, as the JSON value that it stands for. Errors (`file`, at `path:line:column`): a text that is no YAML or none
 * that JSON could say, several documents, an object with a key twice, a number that would be read as another one.
 */
export const parseYamlText = (text: string, path: string): Checked<unknown> => {
  const lines = new LineCounter()
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${path}:${line}:${col}`
  }
  const [document, second] = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  if (document === undefined || !('contents' in document))
    return E.left([failure('file', path, 'a YAML document', 'nothing')])
  const errors: LatentError[] = [...document.errors, ...document.warnings].map(({ code, message, pos }) =>
    code === 'DUPLICATE_KEY'
      ? failure(
          'file',
          at(pos[0]),
          'every key of an object once',
          `${JSON.stringify(text.slice(...pos).replace(/:$/, ''))} twice`,
        )
      : failure('file', at(pos[0]), 'a YAML document', firstLine(message)),
  )
  if (second !== undefined)
    errors.push(failure('file', at(second.range?.[0] ?? 0), 'one YAML document', 'a second one'))
  visit(document, {
    Pair: (_, { key }) => {
      if (isScalar(key) && typeof key.value !== 'string')
        errors.push(failure('file', at(key.range?.[0] ?? 0), 'a string as a key', String(key.source ?? key.value)))
      else if (!isScalar(key) && !isAlias(key))
        errors.push(failure('file', path, 'a string as a key', 'a list or an object'))
    },
    Scalar: (_, { value, source, range }) => {
      if (typeof value === 'number' && source !== undefined && misread(source, value))
        errors.push(failure('file', at(range?.[0] ?? 0), 'a number that 64-bit floats have', source))
    },
  })
  const [first, ...rest] = errors
  return first !== undefined
    ? E.left([first, ...rest])
    : E.tryCatch(
        (): unknown => document.toJS({ maxAliasCount: 100 }) ?? null,
        (reason) => [failure('file', path, 'a YAML document', firstLine(reasonOf(reason)))],
      )
}
