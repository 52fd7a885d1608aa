import { describe, expect, test } from 'vitest'
import { parseYamlText } from '../../src/experiment/yaml-text.ts'
import { E } from '../../src/prelude.ts'

const read = (text: string): unknown => {
  const found = parseYamlText(text, 'a.yaml')
  return E.isRight(found) ? found.right : found.left.map(({ at, got }) => `${at} ${got}`)
}

describe('YAML', () => {
  test.each<readonly [string, string, unknown]>([
    [
      'is what JSON says, with comments',
      '# mine\na: [1, 2.5e-4, yes, no]\nb:\n  - c: null\n',
      { a: [1, 2.5e-4, 'yes', 'no'], b: [{ c: null }] },
    ],
    ['may be JSON', '{ "a": [true, "x"] }', { a: [true, 'x'] }],
    ['may name what it repeats', 'a: &x { b: 1 }\nc: *x\n', { a: { b: 1 }, c: { b: 1 } }],
    [
      'names the line of a fault',
      'a: 1\nb: [1,\nc: 2\n',
      expect.arrayContaining([expect.stringMatching(/^a\.yaml:[234]:\d+ /)]),
    ],
    ['has no key twice', 'a: 1\nb: 2\na: 3\n', ['a.yaml:3:1 "a" twice']],
    [
      'has no number that floats have not',
      'a:\n  b: 1e400\n  c: 12345678901234567891\n',
      ['a.yaml:2:6 1e400', 'a.yaml:3:6 12345678901234567891'],
    ],
    ['has strings as keys', '1: a\n', ['a.yaml:1:1 1']],
    ['has no tags of its own', 'a: !run x\n', expect.arrayContaining([expect.stringMatching(/^a\.yaml:1:4 /)])],
    ['is one document', 'a: 1\n---\nb: 2\n', expect.arrayContaining([expect.stringMatching(/a second one$/)])],
  ])('%s', (_, text, expected) => expect(read(text)).toEqual(expected))
})
