import { type Effect, effect } from '../error.ts'
import { chooseExecutor } from '../execute/choose.ts'
import { inHalf } from '../execute/in-half.ts'
import { withOpened } from '../run/open.ts'
import type { Options } from '../run/sample-options.ts'
import { progress } from '../train/progress.ts'
import { checkPictureCount } from './picture-count.ts'
import { writeDrawn } from './picture-file.ts'
import { type PreviewOptions, withPreviews } from './previews.ts'
import type { Terminal } from './terminal.ts'

/** Draws what the options ask a run for, and writes the pictures; returns the files. */
export const sampleRun = (
  dir: string,
  { out, previews, previewEvery, previewDecoder, ...options }: Options & PreviewOptions & { readonly out: string },
  terminal: Terminal,
): Effect<readonly string[]> =>
  withOpened(dir, options, (opened) =>
    effect(async (run) => {
      const say = (text: string): void => terminal.err(`${text}\n`)
      for (const note of opened.notes) say(note)
      const { begin, notes, columns, seed, ...grid } = await run(opened.prepare(options))
      await run(checkPictureCount(out, grid, columns))
      for (const note of notes) say(note)
      const { executor, reason } = await run(chooseExecutor(options.executor ?? opened.executor))
      const { precision = 'float32' } = options
      const chosen = precision === 'float32' ? executor : inHalf(precision)(executor)
      const { says, draw } = await run(begin(chosen))
      say(`on ${chosen.name} (${reason}); ${says}`)
      const state: { bar?: ReturnType<typeof progress> } = {}
      const shown = {
        ...(previews === undefined ? {} : { previews }),
        ...(previewEvery === undefined ? {} : { previewEvery }),
        ...(previewDecoder === undefined ? {} : { previewDecoder }),
      }
      const pictures = await run(
        withPreviews(shown, { executor: chosen, seed, n: grid.n, say }, (preview) =>
          draw({
            watch: preview !== undefined,
            onStep: (step) =>
              effect(async (go) => {
                state.bar ??= progress('sampling', step.of, { from: step.done })
                state.bar.update(step.done)
                if (preview !== undefined) await go(preview(step))
              }),
          }),
        ),
      )
      state.bar?.done()
      return run(writeDrawn(out, pictures, { columns, seed }))
    }),
  )
