import { random } from '../../src/browser.ts'

/** Endless pictures made of a seed: one shape in one colour on white, antialiased. */
export const classes = ['disc', 'ring', 'square', 'triangle', 'cross', 'heart'] as const
export type Shape = (typeof classes)[number]

/** Pixels a side, three colours each. */
export const side = 16

const { abs, max, min, sqrt } = Math
const length = (x: number, y: number): number => sqrt(x * x + y * y)

/** How far a point lies outside a shape of radius 1, in radii; y points down. */
const outside: { readonly [S in Shape]: (x: number, y: number) => number } = {
  disc: (x, y) => length(x, y) - 1,
  ring: (x, y) => abs(length(x, y) - 0.75) - 0.3,
  square: (x, y) => max(abs(x), abs(y)) - 0.85,
  triangle: (x, y) => max(y - 0.75, 0.894 * abs(x) - 0.447 * y - 0.5),
  cross: (x, y) => min(max(abs(x) - 0.33, abs(y) - 1), max(abs(y) - 0.33, abs(x) - 1)),
  heart: (x, y) =>
    min(length(abs(x) - 0.46, y + 0.36) - 0.5, max(Math.SQRT1_2 * (abs(x) + y) - 0.68, -0.42 - y, abs(x) - 0.96)),
}

const palette: readonly (readonly [number, number, number])[] = [
  [0.9, 0.22, 0.27],
  [0.96, 0.55, 0.12],
  [0.98, 0.79, 0.18],
  [0.22, 0.65, 0.36],
  [0.12, 0.6, 0.72],
  [0.2, 0.36, 0.8],
  [0.55, 0.27, 0.72],
  [0.92, 0.42, 0.66],
]

/** One of the words for which a picture's chances are drawn. */
const drawn = (seed: number, picture: number): Float32Array => {
  const out = new Float32Array(4)
  random.fillUniform(random.drawKey(seed, { step: 0, name: 'shape', sample: picture }), out)
  return out
}

/** Picture `n` of the seed: its class, and its colours in [-1, 1] as [3, side, side]. */
export const pictureOf = (seed: number, n: number): { readonly label: number; readonly data: Float32Array } => {
  const [u = 0, v = 0, w = 0, z = 0] = drawn(seed, n)
  const label = n % classes.length
  const colour = palette[Math.floor(u * palette.length)] ?? [0, 0, 0]
  const radius = 5 + 1.5 * v
  const [cx, cy] = [side / 2 + 1.5 * (w - 0.5), side / 2 + 1.5 * (z - 0.5)]
  const data = new Float32Array(3 * side * side)
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const distance = outside[classes[label] ?? 'disc']((column + 0.5 - cx) / radius, (row + 0.5 - cy) / radius)
      const ink = min(max(0.5 - distance * radius, 0), 1)
      colour.forEach((c, channel) => {
        data[(channel * side + row) * side + column] = 2 * (1 - ink * (1 - c)) - 1
      })
    }
  return { label, data }
}
