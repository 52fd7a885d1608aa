import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzip } from 'node:zlib'
import { type Effect, type Errors, effect, fail, failure, reasonOf } from '../error.ts'
import { fileEffect, readBytes } from '../io/bytes.ts'
import { packageFile } from '../package.ts'
import { E, pipe, RR, TE } from '../prelude.ts'
import type { Tokenizer } from './tokenizer.ts'
import {
  type BesideVocabulary,
  clipTokenizerFiles,
  tokenizerOfBert,
  tokenizerOfJson,
  tokenizerOfMerges,
  tokenizerOfOpenAi,
} from './vocabularies.ts'

const readText = (path: string): Effect<string> =>
  pipe(
    readBytes(path),
    TE.map((bytes) => new TextDecoder().decode(bytes)),
  )
const readJson = (path: string): Effect<unknown> =>
  pipe(
    readText(path),
    TE.flatMapEither((text) =>
      E.tryCatch(
        (): unknown => JSON.parse(text),
        (reason): Errors => [failure('file', path, 'JSON', reasonOf(reason))],
      ),
    ),
  )

/** A vocabulary of text is far smaller. */
const mostBytes = 64 * 2 ** 20
const unzipped = (path: string): Effect<string> =>
  pipe(
    readBytes(path),
    TE.flatMap((bytes) =>
      fileEffect(
        path,
        'a text compressed by gzip',
        () =>
          new Promise<string>((done, failed) => {
            gunzip(bytes, { maxOutputLength: mostBytes }, (error, text) =>
              error === null ? done(text.toString('utf8')) : failed(error),
            )
          }),
      ),
    ),
  )

/** The files of a tokenizer, and no others that lie beside them. */
const tokenizerFile =
  /^(tokenizer\.json|vocab\.(json|txt)|merges\.txt|bpe_.*\.txt\.gz|(tokenizer_config|special_tokens_map|added_tokens)\.json)$/

/** The files of a tokenizer, by name. */
export type TokenizerFiles = Readonly<Record<string, Uint8Array>>
/** What lies in a tokenizer's folder of it, by name, as it is. Errors: `file`. */
export const tokenizerFilesIn = (folder: string): Effect<TokenizerFiles> =>
  effect(async (run) => {
    const names = await run(fileEffect(folder, "a tokenizer's folder", () => readdir(folder)))
    const found: Record<string, Uint8Array> = {}
    for (const name of names.filter((own) => tokenizerFile.test(own)))
      found[name] = await run(readBytes(join(folder, name)))
    return found
  })

/** Whether a folder has a vocabulary. */
export const isTokenizer = (folder: string): Promise<boolean> =>
  readdir(folder).then(
    (names) => names.some((name) => /^(tokenizer\.json|vocab\.(json|txt)|bpe_.*\.txt\.gz)$/.test(name)),
    () => false,
  )

/** Texts as files. */
export const asFiles = (texts: Readonly<Record<string, string>>): TokenizerFiles =>
  RR.map((text: string) => new TextEncoder().encode(text))(texts)

/** What a tokenizer's files leave open. */
export type TokenizerOptions = Pick<BesideVocabulary, 'positions' | 'cleaning' | 'pad'>

/**
 * The tokenizer of a folder: of its `tokenizer.json`; or of `vocab.json` and `merges.txt` (CLIP), `vocab.txt` (BERT) or
 * `bpe_simple_vocab_16e6.txt.gz` (OpenAI). Errors: `file`.
 *
 * @example
 * const tokenizer = readTokenizer('stable-diffusion/tokenizer')
 */
export const readTokenizer = (folder: string, options: TokenizerOptions = {}): Effect<Tokenizer> =>
  effect(async (run) => {
    const names = await run(fileEffect(folder, "a tokenizer's folder", () => readdir(folder)))
    const json = async (name: string): Promise<unknown> =>
      names.includes(name) ? run(readJson(join(folder, name))) : undefined
    const text = (name: string): Promise<string> => run(readText(join(folder, name)))
    const beside: BesideVocabulary = {
      config: await json('tokenizer_config.json'),
      specialTokens: await json('special_tokens_map.json'),
      addedTokens: await json('added_tokens.json'),
      at: folder,
      ...options,
    }
    const has = (...wanted: readonly string[]): boolean => wanted.every((name) => names.includes(name))
    const [zipped] = names.filter((name) => /^bpe_.*\.txt\.gz$/.test(name))
    const found = has('tokenizer.json')
      ? tokenizerOfJson(await json('tokenizer.json'), beside)
      : has('vocab.json', 'merges.txt')
        ? tokenizerOfMerges(await json('vocab.json'), await text('merges.txt'), beside)
        : has('vocab.txt')
          ? tokenizerOfBert(await text('vocab.txt'), beside)
          : zipped !== undefined
            ? tokenizerOfOpenAi(await run(unzipped(join(folder, zipped))), beside)
            : fail(
                'file',
                folder,
                'tokenizer.json, vocab.json with merges.txt, vocab.txt, or bpe_simple_vocab_16e6.txt.gz',
                names.length === 0 ? 'an empty folder' : names.slice(0, 8).join(', '),
              )
    return run(TE.fromEither(found))
  })

/** A file of OpenAI's vocabulary, or another list of merges, compressed by gzip. */
export const readOpenAiTokenizer = (path: string, options: TokenizerOptions = {}): Effect<Tokenizer> =>
  pipe(
    unzipped(path),
    TE.flatMapEither((text) => tokenizerOfOpenAi(text, { at: path, ...options })),
  )

const clipMerges = packageFile('vocabularies', 'clip-merges.txt.gz')

/**
 * CLIP's tokenizer, for models that come without one: its vocabulary is in this package. It is OpenCLIP's and OpenAI's, which pad with
 * token 0; Stable Diffusion 1 and the first encoder of XL have `clipTokenizer({ cleaning: 'transformers', pad: '<|endoftext|>' })`.
 */
export const clipTokenizer = (options: TokenizerOptions = {}): Effect<Tokenizer> =>
  readOpenAiTokenizer(clipMerges, options)

/** Its files, by their names, as transformers reads them: for folders of diffusers. */
export const clipFiles = (pad: string | null): Effect<TokenizerFiles> =>
  pipe(
    unzipped(clipMerges),
    TE.map((text) => asFiles(clipTokenizerFiles(text, pad))),
  )
