import { side } from './shapes.ts'

/** Clear pixels around each picture. */
const gap = 2
const cell = side + gap

/** Draws pictures [3, side, side] in [-1, 1] row after row; the style sheet enlarges them. */
export const drawGrid = (canvas: HTMLCanvasElement, pictures: readonly Float32Array[], columns: number): void => {
  canvas.width = columns * cell + gap
  canvas.height = Math.ceil(pictures.length / columns) * cell + gap
  const context = canvas.getContext('2d')
  if (context === null) return
  context.clearRect(0, 0, canvas.width, canvas.height)
  pictures.forEach((picture, i) => {
    const pixels = context.createImageData(side, side)
    for (let at = 0; at < side * side; at++) {
      for (let channel = 0; channel < 3; channel++)
        pixels.data[4 * at + channel] = Math.round(127.5 * ((picture[channel * side * side + at] ?? 1) + 1))
      pixels.data[4 * at + 3] = 255
    }
    context.putImageData(pixels, gap + (i % columns) * cell, gap + Math.floor(i / columns) * cell)
  })
}
