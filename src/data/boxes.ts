import { type Checked, collect, fail, failure } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { type Decoded, decode, either, integer, list, nonEmpty, number, record } from '../schema.ts'

/** Things by the boxes that they fill, and how these become tokens. */

const share = number({ min: 0, max: 1 })
const boxItem = record({
  /** Left, top, right and bottom, in shares of the picture's width and height. */
  box: list(share, { min: 4, max: 4 }),
  /** What is in it, by its name or its number. */
  class: either(nonEmpty, integer({ min: 0 })),
})
/** As files have them: `[{ "box": [0.1, 0.2, 0.5, 0.9], "class": "cat" }]`. */
export const boxItems = list(boxItem)
export type BoxItem = Decoded<typeof boxItem>
/** Classes of things, as an experiment says them. */
export const boxItemClasses = either(list(nonEmpty, { min: 1, max: 4096 }), integer({ min: 1, max: 65535 }))

/** In shares of the picture's sides, y downwards: `x0 < x1`, `y0 < y1`; `label` is the number of a class. */
export interface Box {
  readonly x0: number
  readonly y0: number
  readonly x1: number
  readonly y1: number
  readonly label: number
}

/** What classes there are: names in the order of their numbers, or only how many. */
export type BoxClasses = readonly string[] | number

const labelOf = (given: string | number, classes: BoxClasses, at: string): Checked<number> => {
  const count = typeof classes === 'number' ? classes : classes.length
  const named = typeof classes === 'number' || typeof given === 'number' ? -1 : classes.indexOf(given)
  const label = named >= 0 ? named : typeof given === 'number' ? given : /^\d+$/.test(given) ? Number(given) : -1
  return label >= 0 && label < count
    ? E.right(label)
    : fail(
        'data',
        at,
        typeof classes === 'number'
          ? `the number of a class, 0 to ${count - 1}`
          : `one of ${count} classes: ${classes.slice(0, 12).join(', ')}${count > 12 ? ', ...' : ''}`,
        JSON.stringify(given),
      )
}

const boxOf =
  (classes: BoxClasses, at: string) =>
  ({ box, class: given }: BoxItem, i: number): Checked<Box> => {
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = box
    return x0 < x1 && y0 < y1
      ? pipe(
          labelOf(given, classes, `${at}/${i}/class`),
          E.map((label) => ({ x0, y0, x1, y1, label })),
        )
      : fail('data', `${at}/${i}/box`, 'left below right, and top below bottom', JSON.stringify(box))
  }

/** Boxes with the numbers of their classes. Errors (`data`): each with its place behind `at`. */
export const boxesFrom = (items: readonly BoxItem[], classes: BoxClasses, at: string): Checked<readonly Box[]> =>
  collect(items.map(boxOf(classes, at)))

const written = /^\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s+(\S.*?)\s*$/
/** Whether a text says boxes, rather than where a file of them lies. */
export const saysBoxes = (text: string): boolean => text.trim() === '' || /^\s*[\d.]+\s*,/.test(text)
/** Boxes of a text: `0.1,0.2,0.5,0.9 cat; 0,0,1,0.4 sky`. Errors (`data`): the first part that is none. */
export const boxItemsOfText = (text: string, at: string): Checked<readonly BoxItem[]> =>
  pipe(
    collect(
      text
        .split(';')
        .filter((part) => part.trim() !== '')
        .map((part): Checked<BoxItem> => {
          const [, ...found] = written.exec(part) ?? []
          const name = found[4]
          return name === undefined
            ? E.left([
                failure('data', at, 'left,top,right,bottom class; ...', part.trim(), 'such as "0.1,0.2,0.5,0.9 cat"'),
              ])
            : E.right({ box: found.slice(0, 4).map(Number), class: name })
        }),
    ),
    E.flatMap(decode(boxItems, { tag: 'data', base: at })),
  )

/** How boxes become tokens: so many of one vocabulary at most, and behind them whether the picture's own frame. */
export interface BoxTokens {
  readonly objects: number
  readonly vocabulary: number
  readonly frame: boolean
}

/** Three tokens a box, its class and two corners; two of the frame, which is what is seen of the picture. */
const each = 3
/** The layout of so many positions; undefined for none. */
export const boxTokensOf = (positions: number, vocabulary: number): BoxTokens | undefined =>
  positions < each || positions % each === 1
    ? undefined
    : { objects: Math.floor(positions / each), vocabulary, frame: positions % each === 2 }

/** As Python rounds: halves to the even neighbour. */
const rounded = (x: number): number => {
  const below = Math.floor(x)
  return x - below === 0.5 ? below + (below % 2) : Math.round(x)
}

/** The token of a point: of a grid of as many places a side as there are tokens for, row by row. */
const corner = (vocabulary: number, x: number, y: number): number => {
  const side = Math.floor(Math.sqrt(vocabulary))
  return rounded(y * (side - 1)) * side + rounded(x * (side - 1))
}

/** Classes that a vocabulary has room for: its last token stands for no box. */
export const boxLabels = ({ vocabulary }: Pick<BoxTokens, 'vocabulary'>): number => vocabulary - 1

/**
 * Boxes as tokens, in their order, filled up with the last of the vocabulary. Errors (`usage`): more than there is room for. Source:
 * `ObjectsBoundingBoxConditionalBuilder` of taming/data/conditional_builder, which puts them in an order by chance and cuts the rest off.
 */
export const tokensOfBoxes = (
  { objects, vocabulary, frame }: BoxTokens,
  boxes: readonly Box[],
  at = 'boxes',
): Checked<readonly number[]> => {
  const none = vocabulary - 1
  if (boxes.length > objects) return fail('usage', at, `at most ${objects} boxes`, `${boxes.length}`)
  return E.right([
    ...boxes.flatMap(({ x0, y0, x1, y1, label }) => [label, corner(vocabulary, x0, y0), corner(vocabulary, x1, y1)]),
    ...Array.from({ length: each * (objects - boxes.length) }, () => none),
    ...(frame ? [corner(vocabulary, 0, 0), corner(vocabulary, 1, 1)] : []),
  ])
}
