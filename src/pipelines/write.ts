import { basename, join } from 'node:path'
import { stringify } from 'yaml'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { asArgument } from '../io/names.ts'
import { writeSafetensors } from '../io/safetensors-writer.ts'
import { clipTextDocument, clipTextModels } from '../nn/text/clip-config.ts'
import { E, pipe, TE, t } from '../prelude.ts'
import { clipFiles, type TokenizerFiles } from '../text/tokenizer-files.ts'
import { namesIn } from './component-files.ts'
import type { TextPart } from './document.ts'
import type { Pipeline } from './request.ts'
import { asCompVis } from './write-compvis.ts'
import { asDiffusers, textFolderOf } from './write-diffusers.ts'

/** Writing published models for the programs that they came from. */

export interface Written extends Pick<Pipeline, 'document' | 'weights'> {
  /** Of tokenizers that are not CLIP's, by the names that the document has for them. */
  readonly tokenizerFiles: Readonly<Record<string, Effect<TokenizerFiles>>>
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const json = (document: unknown): Uint8Array => bytes(`${JSON.stringify(document, null, 2)}\n`)
/** As torch's programs ask for it. */
const metadata = { format: 'pt' }

type FilesByName = Written['tokenizerFiles']
/** The files of a tokenizer. Errors: `file`. */
const filesOf = (tokenizer: TextPart['tokenizer'], byName: FilesByName): Effect<TokenizerFiles> =>
  tokenizer.from === 'clip'
    ? clipFiles(tokenizer.pad)
    : (byName[tokenizer.name] ?? TE.fromEither(fail('file', tokenizer.name, "a tokenizer's files", 'none')))

const writeFiles = (to: string, files: TokenizerFiles): Effect<void> =>
  effect(async (run) => {
    for (const [name, content] of Object.entries(files)) await run(writeFileAtomic(join(to, name), content))
  })

const Configured = t.type({ tokenizer_class: t.string })
/** The class of transformers that files are of. */
const classOf = ({ 'tokenizer_config.json': config }: TokenizerFiles, at: string): Checked<string> =>
  pipe(
    config === undefined ? E.right(undefined) : parseJsonText(new TextDecoder().decode(config), at),
    E.map((said) => (Configured.is(said) ? said.tokenizer_class : 'CLIPTokenizer')),
  )

/** A folder with nothing in it, or none yet. Errors: `usage`. */
const vacant = (dir: string): Effect<void> =>
  effect(async (run) => {
    const names = await run(TE.orElse(() => TE.right<never, readonly string[]>([]))(namesIn(dir)))
    if (names.length > 0)
      await run(
        TE.fromEither(fail('usage', '--safetensors', 'an empty folder, or a new one', `${dir} with ${names[0]}`)),
      )
  })

/** Writes a folder of diffusers, its index last. Remarks are for people. Errors: `config`, `file`, `usage`. */
export const writeDiffusers = (dir: string, model: Written, half: boolean): Effect<readonly string[]> =>
  effect(async (run) => {
    const { index, scheduler, folders, tokenizers, remarks } = await run(TE.fromEither(asDiffusers(model, half)))
    await run(vacant(dir))
    for (const { name, document, arrays, file } of folders) {
      await run(writeSafetensors(join(dir, name, `${file}.safetensors`), arrays, metadata))
      await run(writeFileAtomic(join(dir, name, 'config.json'), json(document)))
    }
    const classes: Record<string, readonly [string, string]> = {}
    for (const [name, tokenizer] of Object.entries(tokenizers)) {
      const files = await run(filesOf(tokenizer, model.tokenizerFiles))
      classes[name] = ['transformers', await run(TE.fromEither(classOf(files, `${name}/tokenizer_config.json`)))]
      await run(writeFiles(join(dir, name), files))
    }
    await run(writeFileAtomic(join(dir, 'scheduler', 'scheduler_config.json'), json(scheduler)))
    await run(writeFileAtomic(join(dir, 'model_index.json'), json({ ...index, ...classes })))
    return remarks
  })

/** Whether the original code, which is told of an encoder by its name alone, has another than this. */
const isUnpublished = ({ encoder }: TextPart): boolean =>
  encoder.kind === 'clip' &&
  !Object.values(clipTextModels).some(
    ({ width, heads }) => width === encoder.config.width && heads === encoder.config.heads,
  )
/** Of CLIP, which every program has. */
const isClips = ({ encoder, tokenizer }: TextPart): boolean =>
  tokenizer.from === 'clip' ||
  (encoder.kind === 'clip' && encoder.config.vocabulary === clipTextModels['ViT-L-14'].vocabulary)

/**
 * Writes what the original configuration leaves to its code: sizes of an encoder, words. Options of `import` are for encoders in their
 * order, so those of all are written where one is needed.
 */
const writeTexts = (stem: string, { document, tokenizerFiles }: Written): Effect<readonly string[]> =>
  effect(async (run) => {
    const { text } = document.conditioning
    const encoders = text.some(isUnpublished)
    const tokenizers = text.some((part) => !isClips(part))
    const options: string[] = []
    for (const [k, part] of text.entries()) {
      const { encoder = 'text_encoder', tokenizer = 'tokenizer' } = textFolderOf(document, k) ?? {}
      if (encoders && part.encoder.kind === 'clip') {
        const path = `${stem}.${encoder}.json`
        await run(writeFileAtomic(path, json(clipTextDocument(part.encoder.config))))
        options.push(`--text-encoder ${asArgument(path)}`)
      }
      if (tokenizers) {
        const path = `${stem}.${tokenizer}`
        await run(writeFiles(path, await run(filesOf(part.tokenizer, tokenizerFiles))))
        options.push(`--tokenizer ${asArgument(path)}`)
      }
    }
    return options.length === 0
      ? []
      : [
          `the configuration names published encoders of texts alone; this model's are read by import with ${options.join(' ')}`,
        ]
  })

/** Writes one file in the original's names, and its configuration in YAML beside it. Errors: `config`, `file`, `usage`. */
export const writeCompVis = (path: string, model: Written, half: boolean): Effect<readonly string[]> =>
  effect(async (run) => {
    if (!path.endsWith('.safetensors'))
      return run(TE.fromEither(fail('usage', '--safetensors', 'a file that ends in .safetensors', basename(path))))
    const { config, arrays, remarks } = await run(TE.fromEither(asCompVis(model, half)))
    const stem = path.slice(0, -'.safetensors'.length)
    await run(writeSafetensors(path, arrays, metadata))
    await run(writeFileAtomic(`${stem}.yaml`, bytes(stringify(config))))
    return [...remarks, ...(await run(writeTexts(stem, model)))]
  })
