import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Effect, type Errors, fail, failure, reasonOf } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import type { PictureOptions } from '../io/images.ts'
import { byCodePoint } from '../io/names.ts'
import { E, pipe, TE, t } from '../prelude.ts'
import { type About, type Dataset, type Found, loaded } from './dataset.ts'
import { decodeAll, decodedBytes, keepColours } from './decode.ts'
import { type EmojiCategory, emojiCategories } from './emoji-categories.ts'
import { colours, held } from './held.ts'

/** The artwork's credit, to be shown with what is made from it. */
export const emojiCredit = 'Twemoji, copyright Twitter, Inc and other contributors, CC-BY 4.0'

const packageName = 'emoji-datasource-twitter'

const Emoji = t.type({
  unified: t.string,
  image: t.string,
  short_name: t.string,
  name: t.string,
  category: t.string,
  has_img_twitter: t.boolean,
})
type Emoji = t.TypeOf<typeof Emoji>
const Emojis = t.array(Emoji)

export interface EmojiOptions extends Partial<PictureOptions> {
  /** All where left out. */
  readonly categories?: readonly EmojiCategory[]
}

/** Code points that only say how a thing is shown: joiner, variation, gender, direction, skin tones, hair. */
const modifier = /^(200D|FE0E|FE0F|2640|2642|27A1|1F3F[B-F]|1F9B[0-3])$/

/** Code points that stand for the same thing, grown or young, of another gender. */
const neutral: ReadonlyMap<string, string> = new Map([
  ['1F468', '1F9D1'],
  ['1F469', '1F9D1'],
  ['1F466', '1F9D2'],
  ['1F467', '1F9D2'],
])

/**
 * What an emoji has in common with its variants: its code points without gender, skin, hair and direction.
 * `unified` is as in emoji-datasource: hexadecimal code points joined by `-`.
 *
 * ```ts
 * emojiBase('1F3C4-200D-2640-FE0F') // '1F3C4': a woman surfing is a variant of a surfer
 * ```
 */
export const emojiBase = (unified: string): string =>
  unified
    .split('-')
    .filter((point) => !modifier.test(point))
    .map((point) => neutral.get(point) ?? point)
    .join('-') || unified

const packageFolder: Effect<string> = TE.fromEither(
  E.tryCatch(
    () => dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)),
    (): Errors => [
      failure(
        'data',
        packageName,
        'the package, which has the emoji',
        'none beside latentgraph',
        `npm install ${packageName}`,
      ),
    ],
  ),
)

const readEmojis = (path: string): Effect<readonly Emoji[]> =>
  pipe(
    readBytes(path),
    TE.flatMapEither((bytes) =>
      E.tryCatch(
        (): unknown => JSON.parse(new TextDecoder().decode(bytes)),
        (reason): Errors => [failure('data', path, 'JSON', reasonOf(reason))],
      ),
    ),
    TE.flatMapEither((value) =>
      Emojis.is(value) ? E.right(value) : fail('data', path, 'the list of emoji of version 16', 'another document'),
    ),
  )

/** As `loadEmoji`, but nothing is decoded yet. Errors: `data`, `file`. */
export const findEmoji = ({ categories = emojiCategories, ...options }: EmojiOptions = {}): Effect<Found> => {
  const layout = { ...options, size: options.size ?? 32 }
  const taken: ReadonlySet<string> = new Set(categories)
  return pipe(
    TE.Do,
    TE.bind('folder', () => packageFolder),
    TE.bind('all', ({ folder }) => readEmojis(join(folder, 'emoji.json'))),
    TE.map(({ folder, all }) => {
      const emojis = all
        .filter((emoji) => emoji.has_img_twitter && taken.has(emoji.category))
        .sort((a, b) => byCodePoint(a.short_name, b.short_name))
      const classes = [...new Set(emojis.map(({ category }) => category))].sort(byCodePoint)
      return {
        n: emojis.length,
        classes,
        bytes: decodedBytes(emojis.length, layout, keepColours),
        load: pipe(
          decodeAll(
            emojis.map(({ image }) => join(folder, 'img', 'twitter', '64', image)),
            layout,
          ),
          TE.map(({ files, ...decoded }) =>
            held({
              ...decoded,
              encoding: colours,
              height: layout.size,
              width: layout.size,
              classes,
              about: emojis.map(({ short_name: name, name: title, category, unified }, i): About => {
                const { bytes = 0, sha256 = '' } = files[i] ?? {}
                return { name, class: category, caption: title.toLowerCase(), bytes, sha256, group: emojiBase(unified) }
              }),
              notes: [],
            }),
          ),
        ),
      }
    }),
  )
}

/**
 * The emoji of the npm package `emoji-datasource-twitter` without flags and skin tones: about 1,636 pictures of 64x64,
 * resized to `size` (default 32) on a background (default white). Classes are the categories, captions the names that
 * Unicode gives them, in lower case, groups the base emoji. In order of short name. Errors: `data`, `file`.
 */
export const loadEmoji = (options: EmojiOptions = {}): Effect<Dataset> => loaded(findEmoji(options))
