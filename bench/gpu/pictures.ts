import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writePicture } from '../../src/io/images.ts'
import { E } from '../../src/prelude.ts'

/** `pictures.js DIR`: boxes and discs to train on, as no data set is at hand. */

const [, , dir = ''] = process.argv
const side = 16
for (const kind of ['box', 'disc'])
  for (let n = 0; n < 12; n++) {
    const inside = (x: number, y: number): boolean =>
      kind === 'box' ? Math.max(Math.abs(x - 8), Math.abs(y - 8)) < 3 + n / 4 : Math.hypot(x - 8, y - 8) < 3 + n / 4
    const data = Uint8Array.from({ length: 3 * side * side }, (_, i) =>
      inside(Math.floor(i / 3) % side, Math.floor(i / 3 / side)) ? 255 - 20 * n : 10 * (i % 3) + 5 * n,
    )
    await mkdir(join(dir, kind), { recursive: true })
    const written = await writePicture(join(dir, kind, `${n}.png`), { width: side, height: side, data })()
    if (E.isLeft(written)) throw new Error(written.left[0].got)
  }
