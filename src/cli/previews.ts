import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import { type Executor, floats } from '../execute/executor.ts'
import { size } from '../graph/types.ts'
import { fileEffect } from '../io/bytes.ts'
import { decodeLatents, factorOf, latentChannels } from '../pipelines/first-stage.ts'
import { withSmallDecoder } from '../pipelines/read-first-stage.ts'
import { pipe, TE } from '../prelude.ts'
import type { Step } from '../run/opened.ts'
import { type Items, joined } from '../train/inference.ts'
import { writePictures } from '../train/pictures.ts'
import { checkEmptyFolder } from './picture-file.ts'

/** What is predicted after every few steps of a drawing, as pictures. */

export interface PreviewOptions {
  readonly previews?: string
  readonly previewEvery?: number
  readonly previewDecoder?: string
}
const flags = { previews: '--previews', every: '--preview-every', decoder: '--preview-decoder' } as const

/** Errors (`usage`): options of previews where there are none, a folder that is not empty. */
export const checkPreviews = ({ previews, previewEvery, previewDecoder }: PreviewOptions): Effect<unknown> => {
  if (previews !== undefined) return checkEmptyFolder(flags.previews, previews)
  const flag = previewEvery !== undefined ? flags.every : previewDecoder !== undefined ? flags.decoder : undefined
  return flag === undefined
    ? TE.right(undefined)
    : TE.fromEither(fail('usage', flag, `previews, ${flags.previews} DIR, which it belongs to`, 'given alone'))
}

/** So many previews of a drawing where nobody says how many. */
const usual = 8
const isDue = (done: number, of: number, every = Math.max(1, Math.ceil(of / usual))): boolean =>
  done % every === 0 || done === of

type Decode = (step: Step) => Effect<Items | undefined>
const itself: Decode = ({ predicted }) => predicted ?? TE.right(undefined)

/** What makes pictures of predictions: a decoder of its own, or the model. Errors: `config`, `file`; `usage`, one of other latents. */
const withDecode = <A>(
  executor: Executor,
  path: string | undefined,
  use: (decode: Decode, by: string) => Effect<A>,
): Effect<A> => {
  if (path === undefined) return use(itself, "the model's own decoder")
  return withSmallDecoder(path, ({ stage, weights }) => {
    const channels = latentChannels(stage)
    const decode: Decode = ({ latents }) =>
      latents === undefined
        ? TE.right(undefined)
        : latents.shape[0] !== channels
          ? TE.fromEither(
              fail(
                'usage',
                flags.decoder,
                `a decoder of latents of ${latents.shape[0]} channels, as the model has`,
                `${channels}`,
              ),
            )
          : pipe(
              decodeLatents(executor, stage, weights, floats([latents.n, ...latents.shape], latents.data), 1),
              TE.map(({ shape: [n = 0, ...shape], data }) => ({ n, shape, data: Float32Array.from(data) })),
            )
    return use(decode, `${path}, ${factorOf(stage)} pixels a latent`)
  })
}

/** The strip of what was seen: a row a picture, from its first preview to its last. */
const stripOf = (seen: readonly { readonly from: number; readonly pictures: Items }[]): Items => {
  const [one] = seen
  const shape = one?.pictures.shape ?? []
  const each = size(shape)
  const rows = [...new Set(seen.map(({ from }) => from))].flatMap((from) => {
    const own = seen.filter((p) => p.from === from)
    return Array.from({ length: own[0]?.pictures.n ?? 0 }, (_, i) =>
      own.map(({ pictures: { data } }) => data.subarray(i * each, (i + 1) * each)),
    )
  })
  const all = rows.flat()
  return { n: all.length, shape, data: joined(all) }
}

interface Drawn {
  readonly executor: Executor
  readonly seed: number
  /** How many pictures there will be. */
  readonly n: number
  readonly say: (line: string) => void
}

/**
 * Draws with previews written into the folder that is asked for, `step-10.png` and so on, of batches after the first behind the number
 * of their first picture; all of them in `strip.png` in the end. Without such a folder there are none. Errors: `usage`, `file`, `run`.
 */
export const withPreviews = <A>(
  { previews: dir, previewEvery, previewDecoder }: PreviewOptions,
  { executor, seed, n: whole, say }: Drawn,
  use: (preview: ((step: Step) => Effect<void>) | undefined) => Effect<A>,
): Effect<A> => {
  if (dir === undefined) return use(undefined)
  return withDecode(executor, previewDecoder, (decode, by) =>
    effect(async (run) => {
      await run(fileEffect(dir, 'a folder that can be made', () => mkdir(dir, { recursive: true })))
      say(`previews in ${dir}, by ${by}`)
      const seen: { readonly from: number; readonly pictures: Items }[] = []
      const batch = { size: 0 }
      const preview = (step: Step): Effect<void> =>
        effect(async (go) => {
          const { done: all, of: total, from, n } = step
          if (from === 0) batch.size = n
          const of = total / Math.ceil(whole / batch.size)
          const done = ((all - 1) % of) + 1
          if (!isDue(done, of, previewEvery)) return
          const pictures = await go(decode(step))
          if (pictures === undefined) return
          const name = `step-${String(done).padStart(String(of).length, '0')}.png`
          const columns = Math.min(pictures.n, 8)
          seen.push({ from, pictures })
          await go(writePictures(join(dir, from === 0 ? name : `${from + 1}-${name}`), pictures, { columns, seed }))
        })
      const made = await run(use(preview))
      const columns = seen.filter(({ from }) => from === 0).length
      if (columns > 0) await run(writePictures(join(dir, 'strip.png'), stripOf(seen), { columns, seed }))
      return made
    }),
  )
}
