import { distance } from 'fastest-levenshtein'
import { type Checked, fail } from '../error.ts'
import { E, RNEA } from '../prelude.ts'
import { didYouMean, escapePointer, type JsonSchema } from '../schema.ts'
import { experiment } from './document.ts'
import { experimentSchema } from './json-schema.ts'
import {
  exampleText,
  type Field,
  fieldsOf,
  inside,
  type Kind,
  kindsOf,
  type Placed,
  placedFields,
  valuesOf,
} from './properties.ts'
import { tuning } from './tuning.ts'

/** What the experiment's file may say, told to a person: of one field, or of all whose names have a word. */

const quoted = (words: readonly string[]): string => words.map((w) => JSON.stringify(w)).join(', ')
/** The first clause of a sentence, for lists. */
const brief = (sentence: string): string => /^.*?(?=[;:.] |[;:.]$|$)/s.exec(sentence)?.[0] ?? sentence

/** What of a field stands beside its sentence: what it may be, what it is where left out, where it is. */
const factsOf = (field: Field): string => {
  const { json, required, kinds } = field
  return [
    valuesOf(json),
    ...('default' in json ? [`${JSON.stringify(json.default)} where left out`] : required ? ['required'] : []),
    ...(kinds === undefined ? [] : [`of ${quoted(kinds)}`]),
  ].join('; ')
}

const kindLines = (kinds: readonly Kind[]): readonly string[] =>
  kinds.map(
    ({ word, sentence, standard }) => `  ${JSON.stringify(word)}${standard ? ' (where left out)' : ''}: ${sentence}`,
  )

const insideLines = (json: JsonSchema): readonly string[] => {
  const [kinds, fields] = [kindsOf(json), fieldsOf(json)]
  return [
    ...(kinds[0] === undefined ? [] : ['', `  ${kinds[0].key}:`, ...kindLines(kinds).map((line) => `  ${line}`)]),
    ...(fields.length === 0 ? [] : ['', '  fields:']),
    ...fields.map(
      ({ name, sentence, required, kinds: of }) =>
        `    ${name}${required ? ' (required)' : ''}${of === undefined ? '' : ` (of ${quoted(of)})`}: ${brief(sentence)}`,
    ),
  ]
}

/** The same field at several places. */
interface Told {
  readonly pointers: readonly string[]
  readonly field: Field
}
const fieldText = ({ pointers: [first, ...others], field }: Told): string =>
  [
    `${first}`,
    `  ${field.sentence}`,
    `  ${factsOf(field)}`,
    `  example: ${exampleText(field)}`,
    ...(others.length === 0 ? [] : [`  the same at ${others.join(', ')}`]),
    ...insideLines(field.json),
    '',
  ].join('\n')

const told = (placed: readonly Placed[]): readonly Told[] =>
  Object.values(RNEA.groupBy(({ field }: Placed) => JSON.stringify(field))([...placed])).map((alike) => ({
    pointers: [...new Set(alike.map(({ pointer }) => pointer))],
    field: alike[0].field,
  }))

const root: JsonSchema = experimentSchema

/** What stands at a pointer below some values, each with what leads there. Errors: `usage`, of a name that is none. */
const at = (json: JsonSchema, [key, ...rest]: readonly string[], pointer: string): Checked<string> => {
  if (key === undefined) return E.right(`${pointer}\n${insideLines(json).join('\n')}\n`)
  if (/^(\d+|-)$/.test(key) && inside('', json) !== '') return at(json, rest, `${pointer}/${key}`)
  const here = `${pointer}/${escapePointer(key)}`
  const kinds = kindsOf(json)
  if (rest.length === 0 && kinds[0]?.key === key)
    return E.right(
      `${here}\n  one of\n${kindLines(kinds)
        .map((l) => `  ${l}`)
        .join('\n')}\n`,
    )
  const found = fieldsOf(json).filter(({ name }) => name === key)
  const [first, ...others] = found
  if (first === undefined) {
    const names = [...new Set([...kinds.map((k) => k.key), ...fieldsOf(json).map(({ name }) => name)])]
    return fail(
      'usage',
      here,
      names.length === 0 ? 'nothing behind it' : `one of ${names.join(', ')}`,
      key,
      didYouMean(key, names),
    )
  }
  if (rest.length === 0) return E.right(found.map((field) => fieldText({ pointers: [here], field })).join('\n'))
  return others.length === 0 ? at(first.json, rest, here) : at({ anyOf: found.map(({ json: j }) => j) }, rest, here)
}

interface PlacedKind {
  readonly pointer: string
  readonly kind: Kind
}
const placedKinds = (all: readonly Placed[]): readonly PlacedKind[] =>
  all.flatMap(({ pointer, field }) =>
    kindsOf(field.json).map((kind) => ({ pointer: `${inside(pointer, field.json)}/${kind.key}`, kind })),
  )
const kindText = (word: string, found: readonly PlacedKind[]): string => {
  const sentences = [...new Set(found.map(({ kind }) => kind.sentence))]
  return sentences
    .map((sentence) => {
      const pointers = new Set(found.filter(({ kind }) => kind.sentence === sentence).map(({ pointer }) => pointer))
      return `${JSON.stringify(word)} at ${[...pointers].join(', ')}\n  ${sentence}\n`
    })
    .join('\n')
}

const most = 8
/** So many are told in full; of more the pointers are listed. */
const named = (asked: string): Checked<string> => {
  const all = placedFields(root)
  const kinds = placedKinds(all)
  const same = (name: string): boolean => name.toLowerCase() === asked.toLowerCase()
  const has = (name: string): boolean => name.toLowerCase().includes(asked.toLowerCase())
  for (const fits of [same, has]) {
    const fields = told(all.filter(({ field }) => fits(field.name)))
    const words = [...new Set(kinds.map(({ kind }) => kind.word))].filter(fits)
    if (fields.length + words.length === 0) continue
    const ofKinds = words.map((word) =>
      kindText(
        word,
        kinds.filter(({ kind }) => kind.word === word),
      ),
    )
    return E.right(
      [
        ...fields.map((t, i) => (i < most ? fieldText(t) : `${t.pointers[0]}\n  ${brief(t.field.sentence)}\n`)),
        ...ofKinds,
      ].join('\n'),
    )
  }
  const names = [...new Set([...all.map(({ field }) => field.name), ...kinds.map(({ kind }) => kind.word)])]
  const near = names
    .map((name) => [distance(name.toLowerCase(), asked.toLowerCase()), name] as const)
    .sort(([a], [b]) => a - b)
    .slice(0, 4)
    .map(([, name]) => name)
  return fail(
    'usage',
    asked,
    'a pointer into an experiment, or a part of a name',
    `"${asked}"`,
    `nearest: ${near.join(', ')}`,
  )
}

const contents = [
  'An experiment:',
  ...insideLines(experiment.json),
  '',
  'What is trained beside a model:',
  ...insideLines(tuning.json),
  '',
].join('\n')

/**
 * What a pointer into an experiment's file stands for, or all fields and kinds whose name has a word; of nothing, what there is at the top.
 * Errors: `usage`, with the nearest names.
 *
 * @example
 * explainExperiment('/diffusion/schedule/kind') // right: each schedule with a sentence
 */
export const explainExperiment = (asked = ''): Checked<string> =>
  asked === '' || asked.startsWith('/')
    ? asked.length < 2
      ? E.right(contents)
      : at(
          root,
          asked
            .slice(1)
            .split('/')
            .map((k) => k.replaceAll('~1', '/').replaceAll('~0', '~')),
          '',
        )
    : named(asked)
