import type { JsonSchema } from '../schema.ts'
import { experiment } from './document.ts'
import { exampleText, type Field, fieldsOf, inside, type Kind, kindsOf, placedFields, valuesOf } from './properties.ts'
import { tuning } from './tuning.ts'

/** The reference of the experiment's file, as Markdown: a section for each object, shared ones once. */

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
/** As Markdown has it word by word: none of it becomes a tag or emphasis. */
const plain = (text: string): string => cell(text.replaceAll(/[<>_*[\]{}]/g, (c) => `\\${c}`))
const code = (text: string): string => `\`${cell(text)}\``
const short = (text: string): string => (text.length > 120 ? 'as its fields say' : code(text))

/** A link to a section, as GitHub and VitePress name them. */
const anchor = (pointer: string): string =>
  `#${pointer
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-')}`

const kindTable = (kinds: readonly Kind[]): readonly string[] =>
  kinds[0] === undefined
    ? []
    : [
        '',
        `| ${kinds[0].key} | what |`,
        '| --- | --- |',
        ...kinds.map(
          ({ word, sentence, standard }) =>
            `| \`"${word}"\`${standard ? ' (where left out)' : ''} | ${plain(sentence)} |`,
        ),
      ]

const link = (sections: ReadonlyMap<string, string>, heading: string, json: JsonSchema): string => {
  const found = sections.get(insideOf(json))
  return found === undefined
    ? ''
    : found === heading
      ? `[its fields](${anchor(found)})`
      : `as [${found}](${anchor(found)})`
}
const fieldTable = (at: string, fields: readonly Field[], sections: ReadonlyMap<string, string>): readonly string[] =>
  fields.length === 0
    ? []
    : [
        '',
        '| field | what | values | where left out | example |',
        '| --- | --- | --- | --- | --- |',
        ...fields.map((field) => {
          const { name, json, sentence, required, kinds } = field
          const where = 'default' in json ? short(JSON.stringify(json.default)) : required ? 'required' : ''
          const of = kinds === undefined ? '' : ` Of ${kinds.map((k) => `\`"${k}"\``).join(', ')}.`
          const values =
            insideOf(json) === '' ? code(valuesOf(json)) : link(sections, headingOf(`${at}/${name}`, field), json)
          return `| \`${name}\` | ${plain(sentence)}${of} | ${values} | ${where} | ${short(exampleText(field))} |`
        }),
      ]

/** What tells the objects of a value from others; nothing where it is none. */
const insideOf = (json: JsonSchema): string => {
  const [kinds, fields] = [kindsOf(json), fieldsOf(json)]
  return kinds.length + fields.length === 0 ? '' : JSON.stringify([kinds, fields])
}

/** What the section of a field's object is called. */
const headingOf = (pointer: string, { json, kinds }: Field): string =>
  `${inside(pointer, json)}${kinds === undefined ? '' : ` of ${kinds.join(', ')}`}`

/** The objects of a document by what they have, each at the first place where they stand. */
const sectionsOf = (documents: readonly JsonSchema[]): ReadonlyMap<string, string> => {
  const sections = new Map<string, string>()
  for (const json of documents)
    for (const { pointer, field } of placedFields(json)) {
      const has = insideOf(field.json)
      if (has !== '' && !sections.has(has)) sections.set(has, headingOf(pointer, field))
    }
  return sections
}

const documentText = (
  title: string,
  json: JsonSchema,
  sections: ReadonlyMap<string, string>,
  done: Set<string>,
): readonly string[] => {
  const own = placedFields(json).flatMap(({ pointer, field }) => {
    const has = insideOf(field.json)
    const heading = headingOf(pointer, field)
    if (has === '' || sections.get(has) !== heading || done.has(has)) return []
    done.add(has)
    return [
      '',
      `### ${heading}`,
      '',
      plain(field.sentence),
      ...kindTable(kindsOf(field.json)),
      ...fieldTable(inside(pointer, field.json), fieldsOf(field.json), sections),
    ]
  })
  return ['', `## ${title}`, ...fieldTable('', fieldsOf(json), sections), ...own]
}

/** The page. */
export const referencePage = (): string => {
  const sections = sectionsOf([experiment.json, tuning.json])
  const done = new Set<string>()
  return [
    "# The experiment's file",
    '',
    'Made by `npm run reference` from the declaration that also checks the file; `latentgraph explain` prints the same of one field.',
    'JSON or YAML. A field that is not known is refused; whatever has a default may be left out. In lists, 0 stands for any item.',
    'In brackets stand the names of the reference implementations.',
    ...documentText('An experiment', experiment.json, sections, done),
    ...documentText('What is trained beside a model', tuning.json, sections, done),
    '',
  ].join('\n')
}
