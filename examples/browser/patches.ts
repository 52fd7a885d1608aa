import { side } from './shapes.ts'

/** The network sees squares of `patch` pixels a side as one position: a quarter of the work, and the same picture. */
const patch = 2
const grid = side / patch
export const patched = [3 * patch * patch, grid, grid] as const

/** Where each number of a patched picture stands in the picture. */
const places = Uint32Array.from({ length: 3 * side * side }, (_, i) => {
  const [column, row, plane] = [i % grid, Math.floor(i / grid) % grid, Math.floor(i / (grid * grid))]
  const [right, down, channel] = [plane % patch, Math.floor(plane / patch) % patch, Math.floor(plane / (patch * patch))]
  return (channel * side + row * patch + down) * side + column * patch + right
})

/** [3, side, side] as [12, side / 2, side / 2] */
export const toPatches = (picture: Float32Array): Float32Array =>
  Float32Array.from(places, (place) => picture[place] ?? 0)

export const fromPatches = (patches: ArrayLike<number>): Float32Array => {
  const picture = new Float32Array(places.length)
  places.forEach((place, i) => {
    picture[place] = patches[i] ?? 0
  })
  return picture
}
