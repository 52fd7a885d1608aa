import { join } from 'node:path'
import type { Dataset } from '../data/dataset.ts'
import { several } from '../data/left-out.ts'
import { type Checked, type Effect, effect } from '../error.ts'
import type { Conditioner } from '../experiment/conditioning.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { type Problems, problem, setting } from '../experiment/problems.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { readBytes } from '../io/bytes.ts'
import { E, pipe, TE } from '../prelude.ts'
import { learnWords, parseWords, type Words, wordsReader } from '../text/learnt.ts'
import type { TextReader } from '../text/prompt.ts'

/** The captions of a run's pictures, as its model takes them. */

type Captioned = Pick<Dataset, 'n' | 'about'>

const captionsOf = ({ n, about }: Captioned): readonly string[] =>
  Array.from({ length: n }, (_, i) => about(i).caption).filter((caption) => caption !== undefined)

/** A condition on captions needs some. */
export const captionRules = ({ text }: Conditioner, data: Captioned): Problems =>
  text === undefined || captionsOf(data).length > 0
    ? []
    : text.vocabulary === null
      ? [problem('/data', 'captions, as the model reads texts', 'none', 'the guide says how a folder has them')]
      : [
          problem(
            '/diffusion/conditioning/kind',
            '"none", as no picture has a caption',
            'text',
            setting({
              '/diffusion/conditioning': { kind: 'none' },
              '/diffusion/unet/attention': { kind: 'self' },
              '/sampling/guidance': 1,
            }),
          ),
        ]

/** What is to be said of captions that are read. */
export const captionNotes = ({ text }: Conditioner, data: Captioned): readonly string[] => {
  const without = data.n - captionsOf(data).length
  return text === undefined || without === 0
    ? []
    : [`${several(without, 'picture')} without a caption: told nothing of`]
}

/** The words that a model is to know. */
export const wordsOf = ({ text }: Conditioner, train: Captioned): Words | undefined =>
  text === undefined || text.vocabulary === null ? undefined : learnWords(captionsOf(train), text.vocabulary)

/** Tokens of texts in a row, as many for each as the model has positions. */
export const tokenRows = (tokens: TextReader, texts: readonly string[]): Int32Array =>
  Int32Array.from(texts.flatMap((text) => tokens.row(text).ids))

/** Tokens of the captions of pictures; none of a caption is what an empty one is. */
export const captionTokens =
  (tokens: TextReader, { about }: Captioned) =>
  (indices: ArrayLike<number>): Int32Array =>
    tokenRows(
      tokens,
      Array.from(indices, (i) => about(i).caption ?? ''),
    )

/** How captions become tokens, by words that were learnt. Errors: `file`. */
export const tokensOf = ({ text }: Conditioner, words: Words | undefined): Checked<TextReader | undefined> =>
  text === undefined || words === undefined ? E.right(undefined) : wordsReader(words, text.positions)

const wordsFile = (dir: string): string => join(dir, 'words.json')

export const writeWords = (dir: string, words: Words): Effect<void> =>
  writeFileAtomic(wordsFile(dir), new TextEncoder().encode(`${JSON.stringify(words)}\n`))

/** The words that a run has learnt; none where its model reads no texts, or by others' words. Errors: `file`. */
export const readWords = (dir: string, { text }: Conditioner): Effect<Words | undefined> =>
  text === undefined || text.vocabulary === null
    ? TE.right(undefined)
    : effect(async (run) => {
        const path = wordsFile(dir)
        const bytes = await run(readBytes(path))
        return run(
          TE.fromEither(
            pipe(
              parseJsonText(new TextDecoder().decode(bytes), path),
              E.flatMap((value) => parseWords(value, path)),
            ),
          ),
        )
      })
