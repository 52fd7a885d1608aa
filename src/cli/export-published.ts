import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import { asArgument } from '../io/names.ts'
import type { Written } from '../pipelines/write.ts'
import { TE } from '../prelude.ts'
import type { WeightOptions } from '../run/trained-run.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

/** A run as the files of the programs that models are published for. */

export const formats = ['compvis', 'diffusers'] as const
export interface FormatOptions extends WeightOptions {
  readonly safetensors: string
  readonly as: (typeof formats)[number]
  readonly half: boolean
}

const writers = {
  compvis: (path: string, model: Written, half: boolean) =>
    effect(async (run) => run((await import('../pipelines/write.ts')).writeCompVis(path, model, half))),
  diffusers: (path: string, model: Written, half: boolean) =>
    effect(async (run) => run((await import('../pipelines/write.ts')).writeDiffusers(path, model, half))),
} as const

const ofExperiment = (dir: string, options: FormatOptions): Effect<readonly string[]> =>
  effect(async (run) => {
    const { openRun } = await import('../run/trained-run.ts')
    const { publishedOf } = await import('../pipelines/of-experiment.ts')
    const { model, ...trained } = await run(openRun(dir, options))
    const found = await run(TE.fromEither(publishedOf({ ...trained, unet: model.config.unet })))
    return run(writers[options.as](options.safetensors, found, options.half))
  })

const ofPublished = (dir: string, options: FormatOptions): Effect<readonly string[]> =>
  effect(async (run) => {
    if (options.checkpoint !== undefined || options.ema !== undefined)
      return run(
        TE.fromEither(
          fail('usage', options.ema === undefined ? '--checkpoint' : '--ema', 'a run that was trained here', dir),
        ),
      )
    const { withPublishedRun } = await import('../pipelines/run-files.ts')
    const { tokenizerFilesIn } = await import('../text/tokenizer-files.ts')
    return run(
      withPublishedRun(dir, ({ document, weights }) => {
        const tokenizerFiles = Object.fromEntries(
          document.conditioning.text.flatMap(({ tokenizer }) =>
            tokenizer.from === 'folder' ? [[tokenizer.name, tokenizerFilesIn(join(dir, tokenizer.name))]] : [],
          ),
        )
        return writers[options.as](options.safetensors, { document, weights, tokenizerFiles }, options.half)
      }),
    )
  })

/** Errors: `config`, what the format has no place for; `file`, `training`, `usage`. */
export const exportPublished = (dir: string, options: FormatOptions, terminal: Terminal): Effect<Outcome> =>
  effect(async (run) => {
    const { isPublishedRun } = await import('../pipelines/run-files.ts')
    const remarks = await run(((await isPublishedRun(dir)) ? ofPublished : ofExperiment)(dir, options))
    terminal.out(`${options.safetensors}\n`)
    for (const remark of remarks) terminal.err(`${remark}\n`)
    if (options.as === 'diffusers')
      terminal.err(`To read it: DiffusionPipeline.from_pretrained(${JSON.stringify(options.safetensors)})\n`)
    else terminal.err(`Its configuration: ${asArgument(options.safetensors.replace(/\.safetensors$/, '.yaml'))}\n`)
    return exitCodes.done
  })
