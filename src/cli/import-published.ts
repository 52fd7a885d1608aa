import { stat } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { asArgument } from '../io/names.ts'
import type { Owned } from '../io/owner.ts'
import type { Beside, PipelineDocument } from '../pipelines/document.ts'
import { TE } from '../prelude.ts'
import { inRunFolder } from '../run/run-folder.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

/** `import` of a published model: a folder of diffusers, or a checkpoint with its configuration. */

export interface PublishedOptions {
  readonly config?: string
  readonly from?: string
  readonly tokenizer: readonly string[]
  readonly textEncoder: readonly string[]
  readonly variant?: string
  readonly out?: string
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

const mostNamed = 12
const named = (keys: readonly string[]): string =>
  `${keys
    .slice(0, mostNamed)
    .map((key) => `\n  ${key}`)
    .join('')}${keys.length > mostNamed ? `\n  and ${keys.length - mostNamed} more` : ''}`

const bytesOf = (weights: Readonly<Record<string, Readonly<Record<string, { readonly bytes: number }>>>>): number =>
  Object.values(weights)
    .flatMap((arrays) => Object.values(arrays))
    .reduce((sum, { bytes }) => sum + bytes, 0)

/** What kind of thing `--config` is: a folder of configurations, or YAML. */
const configured = async (config: string | undefined): Promise<{ readonly yaml?: string; readonly config?: string }> =>
  config === undefined ? {} : (await isFolder(config)) ? { config } : { yaml: config }

const besides: { readonly [K in Beside['kind']]: readonly string[] } = {
  'low-resolution': ['--low-resolution small.png'],
  'masked-latents': ['--from picture.png --mask mask.png'],
  'mask-and-latents': ['--from picture.png --mask mask.png'],
  depth: ['--from picture.png --depth depth.png'],
  'picture-latents': ['--from picture.png'],
  'label-map': ['--label-map map.png'],
}
/** Options without which a model draws nothing. */
const askedOptions = ({
  conditioning: { text, classes, boxes, beside, sizes },
}: PipelineDocument): readonly string[] => [
  ...(text.length === 0 ? [] : ['--prompt "..."']),
  ...(classes === null ? [] : ['--class 0']),
  ...(boxes === null ? [] : ['--boxes "0.1,0.2,0.5,0.9 0"']),
  ...(beside === null ? [] : besides[beside.kind]),
  ...(sizes?.aesthetic === true ? ['--from picture.png'] : []),
]

export const importPublished = (path: string, options: PublishedOptions, terminal: Terminal): Effect<Outcome> =>
  effect(async (run) => {
    const { withPublished } = await import('../pipelines/read.ts')
    const { writePublishedRun } = await import('../pipelines/run-files.ts')
    const { config, from, tokenizer, textEncoder, variant, out } = options
    const say = (text: string): void => terminal.err(`${text}\n`)
    if (
      !(await isFolder(path)) &&
      !(await stat(path).then(
        () => true,
        () => false,
      ))
    )
      return run(TE.left([failure('usage', path, 'a folder of diffusers, or a checkpoint', 'nothing there')]))
    const where = {
      path,
      ...(await configured(config)),
      ...(from === undefined ? {} : { from }),
      ...(tokenizer.length === 0 ? {} : { tokenizers: tokenizer }),
      ...(textEncoder.length === 0 ? {} : { textEncoders: textEncoder }),
      ...(variant === undefined ? {} : { variant }),
    }
    const { dir, asked } = await run(
      withPublished(where, (model) =>
        effect(async (go) => {
          for (const remark of model.remarks) say(`${path}: ${remark}`)
          if (model.leftOver.length > 0)
            say(
              `${path}: ${model.leftOver.length} arrays that nothing is drawn with are left out:${named(model.leftOver)}`,
            )
          const write = ({ dir: to }: Owned) =>
            effect(async (within) => {
              await within(writePublishedRun(to, model))
              return { dir: out ?? to, asked: askedOptions(model.document) }
            })
          const { document, weights } = model
          say(`${document.model}: ${Object.keys(weights).join(', ')}, ${Math.round(bytesOf(weights) / 2 ** 20)} MiB`)
          const name = basename(path, extname(path))
          return go(inRunFolder({ file: name, out, resume: false }, write))
        }),
      ),
    )
    const shown = dir.startsWith(process.cwd()) ? dir.slice(process.cwd().length + 1) : dir
    terminal.out(`${shown}\n`)
    say(`To draw pictures: npx latentgraph sample ${[asArgument(shown), ...asked].join(' ')} --out samples.png`)
    return exitCodes.done
  })
