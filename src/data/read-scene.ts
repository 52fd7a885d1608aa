import {
  type Colour,
  colourNames,
  palette,
  type Relation,
  type Saying,
  type Sort,
  shapeNames,
  shapes,
  type Thing,
} from './scenes.ts'

/** What a picture of shapes shows, read from its pixels: whether a caption is true of it has one answer. */

/** A picture [3, side, side] in [-1, 1]. */
export interface SceneView {
  readonly side: number
  readonly data: ArrayLike<number>
}

interface Cover {
  readonly colour: Colour
  /** How much of the white ground is covered, in [0, 1]. */
  readonly share: number
}
/** Each colour as it differs from the ground. */
const differences = colourNames.map((colour) => {
  const [r, g, b] = palette[colour]
  return { colour, r: r - 1, g: g - 1, b: b - 1, square: (r - 1) ** 2 + (g - 1) ** 2 + (b - 1) ** 2 }
})
/** A pixel as the colour over the ground that explains it best. */
const coverOf = (r: number, g: number, b: number): Cover => {
  let [least, colour, share]: [number, Colour, number] = [Number.POSITIVE_INFINITY, 'black', 0]
  for (const d of differences) {
    const own = Math.min(1, Math.max(0, (r * d.r + g * d.g + b * d.b) / d.square))
    const error = (r - own * d.r) ** 2 + (g - own * d.g) ** 2 + (b - own * d.b) ** 2
    if (error < least) [least, colour, share] = [error, d.colour, own]
  }
  return { colour, share }
}

/** Pixels that hang together by their sides, each part a list of their places. */
const parts = (inside: readonly boolean[], side: number): readonly (readonly number[])[] => {
  const left = new Set(inside.flatMap((yes, i) => (yes ? [i] : [])))
  const found: number[][] = []
  for (const start of left) {
    const part = [start]
    left.delete(start)
    for (const i of part)
      for (const j of [i % side > 0 ? i - 1 : -1, i % side < side - 1 ? i + 1 : -1, i - side, i + side])
        if (left.delete(j)) part.push(j)
    found.push(part)
  }
  return found
}

/** Parts of fewer pixels, of 32 x 32, are dirt. */
const leastArea = 12
/** How much of the union of a part and a shape both must have in common. */
const leastOverlap = 0.6

const mostFrequent = <A>(all: readonly A[]): A | undefined => {
  const counts = new Map<A, number>()
  for (const a of all) counts.set(a, (counts.get(a) ?? 0) + 1)
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0]
}

/** The shape that fills a part's bounding box best, where the box may reach half a pixel further. */
const thingOf = (part: readonly number[], covers: readonly Cover[], side: number): Thing | undefined => {
  const colour = mostFrequent(part.map((i) => covers[i]?.colour ?? 'black'))
  const [xs, ys] = [part.map((i) => i % side), part.map((i) => Math.floor(i / side))]
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs) + 1, Math.min(...ys), Math.max(...ys) + 1]
  const own = new Set(part)
  const overlap = (shape: (u: number, v: number) => boolean, more: number): number => {
    const along = (place: number, from: number, to: number): number =>
      (2 * (place + 0.5 - from + more)) / (to - from + 2 * more) - 1
    let [both, either] = [0, 0]
    for (let y = y0; y < y1; y++)
      for (let x = x0; x < x1; x++) {
        const ideal = shape(along(x, x0, x1), along(y, y0, y1)) ? 1 : 0
        const there = own.has(y * side + x) ? (covers[y * side + x]?.share ?? 0) : 0
        both += Math.min(ideal, there)
        either += Math.max(ideal, there)
      }
    return both / either
  }
  const [best] = shapeNames
    .flatMap((shape) => [0, 0.25, 0.5].map((more) => ({ shape, share: overlap(shapes[shape], more) })))
    .sort((a, b) => b.share - a.share)
  if (colour === undefined || best === undefined || best.share < leastOverlap) return undefined
  const [x, y] = [(x0 + x1) / 2 / side, (y0 + y1) / 2 / side]
  return { colour, shape: best.shape, x, y, radius: Math.max(x1 - x0, y1 - y0) / 2 / side }
}

/** The things in a picture; undefined where something is no shape that has a name. */
export const readScene = ({ side, data }: SceneView): readonly Thing[] | undefined => {
  const plane = side * side
  const channel = (c: number, i: number): number => Math.min(1, Math.max(0, ((data[c * plane + i] ?? 0) + 1) / 2)) - 1
  const covers = Array.from({ length: plane }, (_, i) => coverOf(channel(0, i), channel(1, i), channel(2, i)))
  const inside = covers.map(({ share }) => share > 0.5)
  const found = parts(inside, side)
    .filter((part) => part.length >= leastArea * (side / 32) ** 2)
    .map((part) => thingOf(part, covers, side))
  const things = found.filter((thing) => thing !== undefined)
  return things.length === found.length ? things : undefined
}

/** How far apart two things stand at least for one to be beside the other, in units of the side. */
const leastDistance = 0.1
const holds: { readonly [R in Relation]: (a: Thing, b: Thing) => boolean } = {
  'left of': (a, b) => b.x - a.x > leastDistance,
  'right of': (a, b) => a.x - b.x > leastDistance,
  above: (a, b) => b.y - a.y > leastDistance,
  below: (a, b) => a.y - b.y > leastDistance,
  and: () => true,
}
const is =
  (sort: Sort) =>
  ({ colour, shape }: Sort): boolean =>
    colour === sort.colour && shape === sort.shape

/** Whether a picture shows what is said, and nothing else. */
export const isTrueOf = (saying: Saying, view: SceneView): boolean => {
  const things = readScene(view)
  if (things === undefined) return false
  if (saying.kind === 'things') return things.length === saying.count && things.every(is(saying.sort))
  const [first, second] = [things.find(is(saying.first)), things.find(is(saying.second))]
  return things.length === 2 && first !== undefined && second !== undefined && holds[saying.relation](first, second)
}
