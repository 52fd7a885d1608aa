import type { Effect } from '../src/error.ts'
import type { Picture } from '../src/io/pictures.ts'
import { TE } from '../src/prelude.ts'
import type { Coding } from '../src/serve/coder.ts'

/** Pictures as files and back, by the browser. */

const canvasOf = (width: number, height: number) => {
  const canvas = new OffscreenCanvas(width, height)
  const context = canvas.getContext('2d')
  if (context === null) throw new Error('the browser has no canvas here')
  return { canvas, context }
}
const reasonOf = (reason: unknown): string => (reason instanceof Error ? reason.message : String(reason))
const coded = <A>(expected: string, body: () => Promise<A>): Effect<A> =>
  TE.tryCatch(body, (reason) => [{ tag: 'file', at: 'the picture', expected, got: reasonOf(reason) }] as const)

/** The square in the middle, as `sample --from` takes it. */
const middle = (width: number, height: number, to: { readonly width: number; readonly height: number }) => {
  const scale = Math.min(width / to.width, height / to.height)
  const [w, h] = [to.width * scale, to.height * scale]
  return [(width - w) / 2, (height - h) / 2, w, h] as const
}

export const canvasCoding: Coding = {
  admit: (file, size) =>
    coded('a picture that this browser reads', async (): Promise<Picture> => {
      const image = await createImageBitmap(new Blob([new Uint8Array(file)]))
      const { context } = canvasOf(size.width, size.height)
      context.fillStyle = '#fff'
      context.fillRect(0, 0, size.width, size.height)
      context.imageSmoothingQuality = 'high'
      context.drawImage(image, ...middle(image.width, image.height, size), 0, 0, size.width, size.height)
      const { data } = context.getImageData(0, 0, size.width, size.height)
      const picture = { ...size, data: new Uint8Array(3 * size.width * size.height) }
      picture.data.forEach((_, i) => {
        picture.data[i] = data[4 * Math.floor(i / 3) + (i % 3)] ?? 0
      })
      return picture
    }),
  encode: ({ width, height, data }) =>
    coded('a picture that can be written', async () => {
      const { canvas, context } = canvasOf(width, height)
      const pixels = context.createImageData(width, height)
      for (let at = 0; at < width * height; at++) {
        pixels.data.set(data.subarray(3 * at, 3 * at + 3), 4 * at)
        pixels.data[4 * at + 3] = 255
      }
      context.putImageData(pixels, 0, 0)
      return new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer())
    }),
}
