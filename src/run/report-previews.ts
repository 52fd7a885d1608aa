import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import { thumbnail } from '../io/images.ts'
import { shownByPreview } from '../train/pictures.ts'
import type { Strip } from '../train/report/index.ts'
import { spread } from '../train/validation.ts'

/** The previews of a run, over time. */

/** Pictures of a strip, and pixels of their height: they are within the page. */
const [most, height] = [8, 400] as const

const names = {
  'inputs-and-reconstructions': 'inputs over reconstructions',
  'prior-samples': 'samples from the prior',
  samples: 'samples',
}

/** A strip for each kind of previews of a stage of which there are several. Errors: `file`. */
export const stripsOf = (dir: string, stages: readonly string[]): Effect<readonly Strip[]> =>
  effect(async (run) => {
    const strips: Strip[] = []
    for (const stage of stages) {
      const folder = join(dir, stage, 'previews')
      const files = (await readdir(folder).catch(() => [])).flatMap((name) => {
        const found = shownByPreview(name)
        return found === undefined ? [] : [{ name, ...found }]
      })
      for (const [shows, title] of Object.entries(names)) {
        const own = files.filter((file) => file.shows === shows).toSorted((a, b) => a.step - b.step)
        if (own.length < 2) continue
        const frames = []
        for (const i of spread(own.length, Math.min(most, own.length))) {
          const { name, step } = own[i] ?? { name: '', step: 0 }
          const path = join(folder, name)
          frames.push({ step, webp: await run(thumbnail(path, await run(readBytes(path)), height)) })
        }
        strips.push({ title: `${stage}: ${title}`, frames })
      }
    }
    return strips
  })
