import { type Checked, type Errors, fail, failure, reasonOf } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { hasLoneSurrogate } from './names.ts'

/** serde_json's limit, which the official safetensors parser inherits. */
const deepest = 127

const endOfString = (text: string, start: number): number => {
  let i = start + 1
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1
  return i + 1
}

/** What a JSON text says that the official parser of safetensors refuses although `JSON.parse` lets it pass. */
const objectionTo = (text: string): string | undefined => {
  const open: (Set<string> | undefined)[] = []
  const number = /-?\d[\d.eE+-]*/y
  const colon = /\s*:/y
  for (let i = 0; i < text.length; ) {
    const c = text.charAt(i)
    number.lastIndex = i
    const digits = number.exec(text)?.[0]
    if (digits !== undefined) {
      if (!/^\d+$/.test(digits)) return `the number ${digits.slice(0, 40)}`
      i += digits.length
    } else if (c === '"') {
      const end = endOfString(text, i)
      const literal = text.slice(i, end)
      const value: unknown = JSON.parse(literal)
      if (typeof value === 'string' && hasLoneSurrogate(value))
        return `half a surrogate pair in ${literal.slice(0, 80)}`
      colon.lastIndex = end
      const keys = open.at(-1)
      if (typeof value === 'string' && keys !== undefined && colon.test(text)) {
        if (keys.has(value)) return `the key ${literal.slice(0, 80)} twice`
        keys.add(value)
      }
      i = end
    } else {
      if (c === '{') open.push(new Set())
      if (c === '[') open.push(undefined)
      if (c === '}' || c === ']') open.pop()
      if (open.length > deepest) return `values nested more than ${deepest} deep`
      i += 1
    }
  }
  return undefined
}

/** Far more than any model has parts; each takes many bytes of memory. */
const mostParts = 2 ** 23
const hasTooMany = (text: string): boolean => {
  let parts = 0
  for (let i = 0; i < text.length && parts <= mostParts; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x2c || c === 0x5b || c === 0x7b) parts += 1
  }
  return parts > mostParts
}

/**
 * Parses JSON as the official safetensors parser (serde_json) does: every object's keys are distinct, every
 * number is a natural number, every string is well-formed Unicode.
 */
export const parseStrictJson = (text: string, at: string): Checked<unknown> =>
  pipe(
    hasTooMany(text) ? fail('file', at, `at most ${mostParts} lists, objects and commas`, 'more') : E.right(text),
    E.flatMap(() =>
      E.tryCatch(
        (): unknown => JSON.parse(text),
        (reason): Errors => [failure('file', at, 'a header in JSON', reasonOf(reason))],
      ),
    ),
    E.flatMap((value) => {
      const objection = objectionTo(text)
      return objection === undefined
        ? E.right(value)
        : fail('file', at, 'a header of distinct keys, natural numbers and Unicode strings', objection)
    }),
  )
