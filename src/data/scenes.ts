import type { Random } from './batches.ts'

/** Scenes of coloured shapes, and the captions that say exactly what is there. Coordinates in units of a picture's side, y downwards. */

/** Red, green and blue in [0, 1]; the ground is white. */
export const palette = {
  red: [0.9, 0.1, 0.1],
  green: [0.1, 0.65, 0.2],
  blue: [0.1, 0.25, 0.9],
  yellow: [0.95, 0.85, 0.1],
  purple: [0.6, 0.15, 0.75],
  black: [0.05, 0.05, 0.05],
} as const satisfies Readonly<Record<string, readonly [number, number, number]>>
export type Colour = keyof typeof palette
const isColour = (word: string): word is Colour => Object.hasOwn(palette, word)
export const colourNames: readonly Colour[] = Object.keys(palette).filter(isColour)

/** Whether a point of [-1, 1]^2 belongs to the shape that fills this square. */
export const shapes = {
  circle: (u: number, v: number) => u * u + v * v <= 1,
  square: () => true,
  triangle: (u: number, v: number) => Math.abs(u) <= (v + 1) / 2,
  cross: (u: number, v: number) => Math.abs(u) <= 0.4 || Math.abs(v) <= 0.4,
} as const satisfies Readonly<Record<string, (u: number, v: number) => boolean>>
export type ShapeName = keyof typeof shapes
const isShape = (word: string): word is ShapeName => Object.hasOwn(shapes, word)
export const shapeNames: readonly ShapeName[] = Object.keys(shapes).filter(isShape)

/** What a thing is. */
export interface Sort {
  readonly colour: Colour
  readonly shape: ShapeName
}
/** A thing at its place, `radius` from its middle to the sides of the square that it fills. */
export interface Thing extends Sort {
  readonly x: number
  readonly y: number
  readonly radius: number
}

export const relations = ['left of', 'right of', 'above', 'below', 'and'] as const
export type Relation = (typeof relations)[number]

/** What a caption says. */
export type Saying =
  | { readonly kind: 'things'; readonly count: 1 | 2 | 3 | 4; readonly sort: Sort }
  | { readonly kind: 'pair'; readonly first: Sort; readonly relation: Relation; readonly second: Sort }

/** Sorts that no picture of the data has: whoever draws them has put them together from what it knows of each word. */
export const unseenSorts: readonly Sort[] = [
  { colour: 'red', shape: 'triangle' },
  { colour: 'green', shape: 'cross' },
  { colour: 'blue', shape: 'circle' },
  { colour: 'yellow', shape: 'square' },
]
const same = (a: Sort, b: Sort): boolean => a.colour === b.colour && a.shape === b.shape
export const isUnseen = (sort: Sort): boolean => unseenSorts.some((unseen) => same(unseen, sort))
const seenSorts: readonly Sort[] = colourNames
  .flatMap((colour) => shapeNames.map((shape) => ({ colour, shape })))
  .filter((sort) => !isUnseen(sort))
const plainSort: Sort = { colour: 'black', shape: 'circle' }

const numerals = { 1: 'a', 2: 'two', 3: 'three', 4: 'four' } as const
const plurals: { readonly [S in ShapeName]: string } = {
  circle: 'circles',
  square: 'squares',
  triangle: 'triangles',
  cross: 'crosses',
}
const said = ({ colour, shape }: Sort): string => `a ${colour} ${shape}`

/** `three red circles`, `a red circle left of a blue square`. */
export const captionOf = (saying: Saying): string => {
  if (saying.kind === 'pair') return `${said(saying.first)} ${saying.relation} ${said(saying.second)}`
  const { count, sort } = saying
  return count === 1 ? said(sort) : `${numerals[count]} ${sort.colour} ${plurals[sort.shape]}`
}

/** Chances, one after the other. */
const chances = (random: Random) => {
  let counter = 0
  const share = (): number => random(counter++) / 2 ** 32
  return {
    share,
    between: (least: number, most: number): number => least + (most - least) * share(),
    one: <A>(all: readonly A[], otherwise: A): A => all[Math.floor(share() * all.length)] ?? otherwise,
  }
}
type Chances = ReturnType<typeof chances>

const counts = [1, 1, 2, 3, 4] as const
const swapped = <A>(c: Chances, [a, b]: readonly [A, A]): readonly [A, A] => (c.share() < 0.5 ? [a, b] : [b, a])

/** What a caption may say; `unseen`: about a thing of a sort that no picture of the data has. */
export const sayingOf = (random: Random, unseen = false): Saying => {
  const c = chances(random)
  const sort = c.one(unseen ? unseenSorts : seenSorts, plainSort)
  if (c.share() < 0.45) return { kind: 'things', count: c.one(counts, 1), sort }
  const others = seenSorts.filter((other) => !same(other, sort))
  const [first, second] = swapped(c, [sort, c.one(others, plainSort)])
  return { kind: 'pair', first, relation: c.one(relations, 'and'), second }
}

/** The middles of the four quarters of a picture, in an order by chance. */
const quarters = (c: Chances): readonly (readonly [number, number])[] =>
  [0.25, 0.75]
    .flatMap((x) => [0.25, 0.75].map((y) => [c.share(), x, y] as const))
    .sort(([a], [b]) => a - b)
    .map(([, x, y]) => [x, y])

/** Where two things stand in relation to each other: along which axis, the first before or behind the second. */
const placements: { readonly [R in Relation]: (c: Chances) => readonly ['x' | 'y', -1 | 1] } = {
  'left of': () => ['x', -1],
  'right of': () => ['x', 1],
  above: () => ['y', -1],
  below: () => ['y', 1],
  and: (c) => [c.share() < 0.5 ? 'x' : 'y', c.share() < 0.5 ? -1 : 1],
}

/** A scene of which a caption is true; no two things touch, none leaves the picture. */
export const sceneOf = (saying: Saying, random: Random): readonly Thing[] => {
  const c = chances(random)
  if (saying.kind === 'pair') {
    const [axis, side] = placements[saying.relation](c)
    return [saying.first, saying.second].map((sort, i) => {
      const radius = c.between(0.16, 0.21)
      const along = 0.5 + side * (i === 0 ? 1 : -1) * c.between(0.25, 0.28)
      const across = c.between(0.25, 0.75)
      return { ...sort, radius, x: axis === 'x' ? along : across, y: axis === 'x' ? across : along }
    })
  }
  const { count, sort } = saying
  if (count === 1) {
    const radius = c.between(0.18, 0.32)
    return [{ ...sort, radius, x: c.between(radius + 0.04, 0.96 - radius), y: c.between(radius + 0.04, 0.96 - radius) }]
  }
  return quarters(c)
    .slice(0, count)
    .map(([x, y]) => ({
      ...sort,
      radius: c.between(0.15, 0.19),
      x: x + c.between(-0.03, 0.03),
      y: y + c.between(-0.03, 0.03),
    }))
}
