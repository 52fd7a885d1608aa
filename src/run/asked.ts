import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { Asked, KnownCondition } from '../experiment/conditioning.ts'
import { E, pipe, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { TextReader } from '../text/prompt.ts'
import { labelRows } from '../train/drawing.ts'
import { boxesExpected, boxesOption, vectorOption } from './option-names.ts'
import type { Reads } from './reads.ts'
import type { TrainedRun } from './trained-run.ts'

/** What `sample` is asked for, by its options: classes, or texts. */

export interface AskedOptions {
  readonly class?: string
  readonly prompt?: readonly string[]
  readonly prompts?: string
  readonly negative?: string
  readonly fromClass?: string
  readonly fromPrompt?: string
  readonly vector?: string
  readonly boxes?: string
}

/** A row of each. */
export interface Requested {
  /** What each picture is told; without conditions that are pictures. */
  readonly asked: Asked
  /** How many kinds of pictures are asked for. */
  readonly kinds: number
  /** What a picture to invert shows. */
  readonly shown: Asked
  /** What was done to what was asked, a sentence each. */
  readonly notes: readonly string[]
}

/** The number of a class, whatever the case of its letters. Errors (`usage`): none of that name. */
export const classIndex = (classes: readonly string[], name: string, option: string): Checked<number> => {
  const exact = classes.indexOf(name)
  const index = exact >= 0 ? exact : classes.findIndex((c) => c.toLowerCase() === name.toLowerCase())
  return index >= 0
    ? E.right(index)
    : fail(
        'usage',
        option,
        classes.length === 0 ? 'no class: the model has none' : classes.map((c) => `"${c}"`).join(' | '),
        `"${name}"`,
        didYouMean(name, classes),
      )
}

/** What is said of a text that the model does not take as it is. */
const notesOn = (tokens: TextReader, text: string): readonly string[] => {
  const { spelled, unknown } = tokens.spelling?.(text) ?? { spelled: [], unknown: [] }
  const { cut } = tokens.row(text)
  const named = (words: readonly string[]): string => words.map((word) => `"${word}"`).join(', ')
  return [
    ...(spelled.length === 0 ? [] : [`"${text}": told by their letters, as no caption had them: ${named(spelled)}`]),
    ...(unknown.length === 0
      ? []
      : [`"${text}": not told at all, as they are no letters that are known: ${named(unknown)}`]),
    ...(cut === undefined ? [] : [`"${text}": cut before "${cut}"`]),
  ]
}

const repeated = (ids: readonly (readonly number[])[], each: number): Int32Array =>
  Int32Array.from(ids.flatMap((row) => Array.from({ length: each }, () => row).flat()))

const byTexts = (reads: Reads, tokens: TextReader, o: AskedOptions, each: number): Effect<Requested> =>
  effect(async (run) => {
    const prompts = [...(o.prompt ?? []), ...(o.prompts === undefined ? [] : await run(reads.prompts(o.prompts)))]
    if (prompts.length === 0)
      return run(TE.fromEither(fail('usage', '--prompt', 'what is to be drawn: the model draws by texts', 'none')))
    const told = [...prompts, o.negative, o.fromPrompt].filter((text) => text !== undefined)
    const idsOf = (text: string) => tokens.row(text).ids
    const labels = Array.from({ length: prompts.length * each }, () => 0)
    const asked: Asked = {
      labels,
      tokens: repeated(prompts.map(idsOf), each),
      ...(o.negative === undefined ? {} : { negative: { tokens: Int32Array.from(idsOf(o.negative)) } }),
    }
    return {
      asked,
      kinds: prompts.length,
      shown: o.fromPrompt === undefined ? asked : { labels: [0], tokens: Int32Array.from(idsOf(o.fromPrompt)) },
      notes: [...new Set(told)].flatMap((text) => notesOn(tokens, text)),
    }
  })

const byClasses = (known: readonly string[], o: AskedOptions, each: number): Checked<Requested> => {
  const index = (option: string, name: string | undefined) =>
    name === undefined ? E.right(undefined) : classIndex(known, name, option)
  return pipe(
    E.Do,
    E.bind('label', () => index('--class', o.class)),
    E.bind('negative', () => index('--negative', o.negative)),
    E.bind('from', () => index('--from-class', o.fromClass)),
    E.map(({ label, negative, from }) => {
      const labels = label === undefined ? labelRows(known.length, each) : Array.from({ length: each }, () => label)
      const asked: Asked = { labels, ...(negative === undefined ? {} : { negative: { label: negative } }) }
      return {
        asked,
        kinds: label === undefined ? Math.max(1, known.length) : 1,
        shown: from === undefined ? asked : { labels: [from] },
        notes: [],
      }
    }),
  )
}

/** An option's value as it was given; pictures have none that a line can show. */
const shownOption = (value: unknown): string => (typeof value === 'object' ? 'given' : JSON.stringify(value))
const refused = (options: readonly (readonly [string, unknown])[], why: string): Checked<unknown> => {
  const given = options.find(([, value]) => value !== undefined)
  return given === undefined ? E.right(undefined) : fail('usage', given[0], why, shownOption(given[1]))
}

/** `0.5,1,-2` */
const vectorOf = (given: string, count: number): Checked<readonly number[]> => {
  const numbers = given.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  return numbers.length === count && numbers.every(Number.isFinite)
    ? E.right(numbers)
    : fail('usage', vectorOption, `${count} numbers, with commas between them`, given)
}

/** What is known of what is to be drawn, beside pixels. */
const byKnown = (reads: Reads, known: KnownCondition, o: AskedOptions, each: number): Effect<Requested> =>
  effect(async (run) => {
    const numbersOf: { readonly [A in KnownCondition['asks']]: () => Effect<readonly number[]> } = {
      vector: () =>
        TE.fromEither(
          o.vector === undefined
            ? fail('usage', vectorOption, `${known.width} numbers, with commas between them`, 'nothing')
            : vectorOf(o.vector, known.width),
        ),
      boxes: () =>
        o.boxes === undefined
          ? TE.fromEither(fail('usage', boxesOption, boxesExpected, 'nothing'))
          : pipe(
              reads.boxes(o.boxes),
              TE.flatMapEither((boxes) => known.of({ boxes }, boxesOption)),
            ),
    }
    const numbers = await run(numbersOf[known.asks]())
    const asked: Asked = {
      labels: Array.from({ length: each }, () => 0),
      known: Float32Array.from({ length: each * numbers.length }, (_, i) => numbers[i % numbers.length] ?? 0),
    }
    return { asked, kinds: 1, shown: asked, notes: [] }
  })

/** Options of what other models are told. */
const unknown = (o: AskedOptions): readonly (readonly [string, unknown])[] => [
  ['--class', o.class],
  ['--from-class', o.fromClass],
  ['--prompt', o.prompt?.[0]],
  ['--prompts', o.prompts],
  ['--from-prompt', o.fromPrompt],
  ['--negative', o.negative],
]

/** What the options ask a model for, `each` pictures of a kind. Errors: `usage`, `file`. */
export const requestedOf = (
  reads: Reads,
  { model: { conditioner }, classes, tokens }: Pick<TrainedRun, 'model' | 'classes' | 'tokens'>,
  o: AskedOptions,
  each: number,
): Effect<Requested> => {
  const { known } = conditioner
  const others = [
    [vectorOption, known?.asks === 'vector' ? undefined : o.vector, 'no vector: the model is told none'],
    [boxesOption, known?.asks === 'boxes' ? undefined : o.boxes, 'no boxes: the model is told none'],
  ] as const
  const other = others.find(([, given]) => given !== undefined)
  if (other !== undefined) return TE.fromEither(fail('usage', other[0], other[2], shownOption(other[1])))
  if (known !== undefined)
    return pipe(
      TE.fromEither(refused(unknown(o), `no more than what the model is told: --${known.asks}`)),
      TE.flatMap(() => byKnown(reads, known, o, each)),
    )
  return tokens !== undefined
    ? pipe(
        TE.fromEither(
          refused(
            [
              ['--class', o.class],
              ['--from-class', o.fromClass],
            ],
            'no class, as the model draws by texts (--prompt)',
          ),
        ),
        TE.flatMap(() => byTexts(reads, tokens, o, each)),
      )
    : TE.fromEither(
        pipe(
          refused(
            [
              ['--prompt', o.prompt?.[0]],
              ['--prompts', o.prompts],
              ['--from-prompt', o.fromPrompt],
            ],
            'no text: the model reads none',
          ),
          E.flatMap(() => byClasses(conditioner.classes === null ? [] : classes, o, each)),
        ),
      )
}
