import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { type ESTree, parseSync } from 'vite'
import { expect, test } from 'vitest'
import { root } from './programs.ts'

/** Every name that the package exports has a comment that says what it is. */

interface Module {
  readonly body: ESTree.Program['body']
  /** Whether a comment of documentation ends right before a place of the text. */
  readonly isDescribedAt: (start: number) => boolean
}
const parsed = new Map<string, Module>()
const moduleOf = (file: string): Module => {
  const known = parsed.get(file)
  if (known !== undefined) return known
  const text = readFileSync(file, 'utf8')
  const { program, comments } = parseSync(file, text)
  const ends = comments.filter(({ type, value }) => type === 'Block' && value.startsWith('*')).map(({ end }) => end)
  const isDescribedAt = (start: number): boolean =>
    ends.some((end) => end <= start && text.slice(end, start).trim() === '')
  const found = { body: program.body, isDescribedAt }
  parsed.set(file, found)
  return found
}

interface Found {
  readonly name: string
  readonly file: string
  readonly isDescribed: boolean
}
const beside = (file: string, source: string): string => join(dirname(file), source)
const nameOf = (x: ESTree.ModuleExportName): string => (x.type === 'Literal' ? x.value : x.name)

/** What a declaration names. */
const declared = (d: ESTree.Declaration): readonly string[] =>
  d.type === 'VariableDeclaration'
    ? d.declarations.flatMap(({ id }) =>
        id.type === 'Identifier'
          ? [id.name]
          : id.type === 'ObjectPattern'
            ? id.properties.flatMap((p) =>
                p.type === 'Property' && p.value.type === 'Identifier' ? [p.value.name] : [],
              )
            : [],
      )
    : 'id' in d && d.id !== null && d.id.type === 'Identifier'
      ? [d.id.name]
      : []

/** The exported names of a module, those of namespaces behind a dot. */
const exportsOf = (file: string): readonly Found[] => {
  const { body, isDescribedAt } = moduleOf(file)
  return body.flatMap((statement): readonly Found[] => {
    // What other packages export is described there.
    if ('source' in statement && statement.source !== null && !statement.source.value.startsWith('.')) return []
    if (statement.type === 'ExportAllDeclaration') {
      const inside = exportsOf(beside(file, statement.source.value))
      const { exported } = statement
      return exported === null ? inside : inside.map((f) => ({ ...f, name: `${nameOf(exported)}.${f.name}` }))
    }
    if (statement.type !== 'ExportNamedDeclaration') return []
    if (statement.declaration !== null)
      return declared(statement.declaration).map((name) => ({
        name,
        file: relative(root, file),
        isDescribed: isDescribedAt(statement.start),
      }))
    const { source } = statement
    if (source === null) return []
    const inside = new Map<string, Found>()
    for (const found of exportsOf(beside(file, source.value)))
      if (inside.get(found.name)?.isDescribed !== true) inside.set(found.name, found)
    return statement.specifiers.flatMap(({ local, exported }) => {
      const found = inside.get(nameOf(local))
      return found === undefined ? [] : [{ ...found, name: nameOf(exported) }]
    })
  })
}

test.each(['index.ts', 'laws/index.ts', 'browser.ts'])('of src/%s', (entry) => {
  const all = exportsOf(join(root, 'src', entry))
  expect(all.length).toBeGreaterThan(30)
  const described = new Set(all.filter(({ isDescribed }) => isDescribed).map(({ name }) => name))
  const lacking = all.filter(({ name }) => !described.has(name)).map(({ name, file }) => `${file} ${name}`)
  expect([...new Set(lacking)].toSorted()).toEqual([])
})
