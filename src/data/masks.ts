import type { Random } from './batches.ts'

/** Parts of pictures that are missing. */

/** Uniform in [0, 1): the numbers that a mask is made of, one after the other. */
const drawing = (random: Random) => {
  let counter = 0
  return (): number => random(counter++) / 2 ** 32
}

/** Places [x, y] that a mask covers, told one by one. */
type Cover = (x: number, y: number) => void

/** A rectangle whose sides are between an eighth and a half of the picture's. */
const box = (side: number, next: () => number, cover: Cover): void => {
  const length = (): number => Math.max(1, Math.round(side * (1 / 8 + (3 / 8) * next())))
  const [width, height] = [length(), length()]
  const [left, top] = [Math.floor(next() * (side - width + 1)), Math.floor(next() * (side - height + 1))]
  for (let y = top; y < top + height; y++) for (let x = left; x < left + width; x++) cover(x, y)
}

/** A brush of a sixteenth to an eighth of the picture, along a few straight lines from anywhere to anywhere. */
const stroke = (side: number, next: () => number, cover: Cover): void => {
  const radius = Math.max(0.5, (side * (1 + next())) / 32)
  const places = Array.from({ length: 2 + Math.floor(3 * next()) }, () => [next() * side, next() * side] as const)
  const dab = (cx: number, cy: number): void => {
    for (let y = Math.floor(cy - radius); y <= cy + radius; y++)
      for (let x = Math.floor(cx - radius); x <= cx + radius; x++)
        if ((x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2 <= (radius + 0.5) ** 2) cover(x, y)
  }
  for (const [i, [x, y]] of places.slice(1).entries()) {
    const [fromX, fromY] = places[i] ?? [x, y]
    const dabs = Math.ceil(Math.hypot(x - fromX, y - fromY)) + 1
    for (let k = 0; k <= dabs; k++) dab(fromX + ((x - fromX) * k) / dabs, fromY + ((y - fromY) * k) / dabs)
  }
}

/**
 * Where a picture of `side` pixels is missing, [side, side] of 1 there and 0 elsewhere: boxes or strokes of a brush, one to three, the
 * kinds of Suvorov et al. 2022 (LaMa). At least one pixel is missing, and at least one is there.
 */
export const randomMask = (side: number, random: Random): Float32Array => {
  const next = drawing(random)
  const mask = new Float32Array(side * side)
  const cover: Cover = (x, y) => {
    if (x >= 0 && y >= 0 && x < side && y < side) mask[y * side + x] = 1
  }
  const shape = next() < 0.5 ? box : stroke
  const shapes = 1 + Math.floor(3 * next())
  for (let i = 0; i < shapes; i++) shape(side, next, cover)
  const place = Math.floor(next() * side * side)
  if (!mask.includes(1)) mask[place] = 1
  if (!mask.includes(0)) mask[place] = 0
  return mask
}
