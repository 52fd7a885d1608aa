import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import tiny from '../../graphs/tiny.json' with { type: 'json' }
import { type Errors, failure, showErrors } from '../../src/error.ts'
import { lined } from '../../src/experiment/lines.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { E } from '../../src/prelude.ts'
import { escapePointer } from '../../src/schema.ts'

const document = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.integer(),
    fc.array(tie('value'), { minLength: 1, maxLength: 3 }),
    fc.dictionary(fc.stringMatching(/^[a-z~/]{1,6}$/), tie('value'), { minKeys: 1, maxKeys: 4, noNullPrototype: true }),
  ),
}))
/** Every pointer into a value, and what the line it leads to has to show. */
const pointersOf = (value: unknown, at = ''): readonly (readonly [pointer: string, shows: string])[] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([key, inner]) => {
        const pointer = `${at}/${escapePointer(key)}`
        const shows = Array.isArray(value) ? '' : key
        return [[pointer, shows] as const, ...pointersOf(inner, pointer)]
      })
const at = (pointer: string): Errors => [failure('config', pointer, 'x', 'y')]

describe('lines', () => {
  test.each([
    ['JSON', 'a.json', (value: unknown) => JSON.stringify(value, null, 2)],
    ['YAML', 'a.yaml', (value: unknown) => stringify(value)],
  ] as const)('law: of %s every pointer leads to the line of its key', (_, path, write) =>
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), document.value, { minKeys: 1 }), (value) => {
        const text = write(value)
        const lines = text.split('\n')
        for (const [pointer, shows] of pointersOf({ ...value })) {
          const [{ line = '' }] = lined(path, text, [])(at(pointer))
          const [file, number] = line.split(':')
          expect(file).toBe(path)
          expect(lines[Number(number) - 1], `${pointer} in\n${text}`).toContain(shows)
        }
      }),
    ),
  )

  test('are of what is around a field that is not there; of nothing that an option has set, of no file', () => {
    const text = '{\n  "a": {\n    "b": [1,\n      2]\n  }\n}'
    const lineOf = (pointer: string, set: readonly string[] = []) => lined('a.json', text, set)(at(pointer))[0].line
    expect(lineOf('/a/b/1')).toBe('a.json:4')
    expect(lineOf('/a/missing/x')).toBe('a.json:2')
    expect(lineOf('/a: conv.weight')).toBe('a.json:2')
    expect(lineOf('/tmp/a.json')).toBeUndefined()
    expect(lineOf('/a/b/1', ['/a/b'])).toBeUndefined()
    expect(lineOf('/a/b/1', ['/a/bc'])).toBe('a.json:4')
  })

  test('stand below every fault of an experiment', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'latentgraph-lines-'))
    try {
      const path = join(folder, 'e.json')
      const wrong = { ...tiny, sampling: { ...tiny.sampling, steps: 0 } }
      await writeFile(path, JSON.stringify(wrong, null, 2))
      const found = await loadExperiment(path, ['/seed=-1'])()
      const text = E.isLeft(found) ? showErrors(found.left) : ''
      const line =
        JSON.stringify(wrong, null, 2)
          .split('\n')
          .findIndex((l) => l.includes('"steps": 0')) + 1
      expect(text).toMatch(new RegExp(`/sampling/steps\n  expected .*\n  got      0\n  line     ${path}:${line}`))
      expect(text).toMatch(/\/seed\n {2}expected .*\n {2}got {6}-1(\n\n|$)/)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
