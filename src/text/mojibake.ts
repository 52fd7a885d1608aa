import { codePage437, embedded, unlikely, windows1252 } from './mojibake-data.ts'

/** Text that was decoded by the wrong table (`schÃ¶n` for `schön`), decoded anew, as ftfy 6.3.1 does it (`fix_encoding`). */

const isBad = (text: string): boolean => badPattern.test(text)
const badPattern = new RegExp(unlikely.join('|'), 'u')
const embeddedPattern = new RegExp(embedded, 'gu')

/** A table of one byte a character. `lossy` ones take U+FFFD for byte 1A, a byte that was lost. */
interface Table {
  readonly byteOf: ReadonlyMap<string, number>
  readonly lossy: boolean
  /** Whether an A0 that became a blank is put back: in Mac Roman that would hit a dash before a blank. */
  readonly blanks: boolean
}
const table = (upper: readonly string[], { lossy = false, blanks = true } = {}): Table => {
  const ascii = Array.from({ length: 128 }, (_, i) => (lossy && i === 0x1a ? '\ufffd' : String.fromCharCode(i)))
  return { byteOf: new Map([...ascii, ...upper].map((c, i) => [c, i])), lossy, blanks }
}
const bytes = Uint8Array.from({ length: 128 }, (_, i) => 128 + i)
/** The upper half of a table; bytes that it leaves out stand for themselves. */
const upperHalf = (label: string): readonly string[] =>
  [...new TextDecoder(label).decode(bytes)].map((c, i) => (c === '\ufffd' ? String.fromCharCode(128 + i) : c))
const sloppy = (label: string): Table => table(upperHalf(label), { lossy: true })
const latin1 = Array.from(bytes, (b) => String.fromCharCode(b))
const western = [...windows1252, ...latin1.slice(32)]
/** In the order in which they are tried. */
const tables: readonly Table[] = [
  table(latin1),
  table(western, { lossy: true }),
  sloppy('windows-1251'),
  sloppy('windows-1250'),
  sloppy('windows-1253'),
  sloppy('windows-1254'),
  sloppy('windows-1257'),
  table(upperHalf('iso-8859-2')),
  table(upperHalf('macintosh'), { blanks: false }),
  table([...codePage437]),
]

/** Bytes as the characters U+0000 to U+00FF, so that regular expressions work on them. */
const encoded = (text: string, { byteOf }: Table): string | undefined => {
  const found = Array.from(text, (c) => byteOf.get(c))
  return found.includes(undefined) ? undefined : String.fromCharCode(...found.map((b) => b ?? 0))
}
const graveWord = /\xc3 (?! |quele|quela|quilo|s )/g
const altered =
  /[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0 [\x80-\xbf][\x80-\xbf]|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf][\x80-\xbf] /g
const withBlanks = (found: string): string =>
  found.search(altered) < 0
    ? found
    : found.replace(graveWord, '\xc3\xa0 ').replace(altered, (m) => m.replaceAll(' ', '\xa0'))

/** Sequences in which bytes were lost: byte 1A, or `?`, stands for each. */
const lost = new RegExp(
  [
    '[\xc2-\xdf]\x1a',
    '[\xc2-\xc3]\\?',
    '\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]',
    '\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]',
    '[\xe0-\xef][\x1a?][\x1a\x80-\xbf]',
    '[\xe0-\xef][\x1a\x80-\xbf][\x1a?]',
    '[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]',
    '[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]',
    '[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]',
    '\x1a',
  ].join('|'),
  'g',
)
const replacementBytes = '\xef\xbf\xbd'

/** Surrogates that were encoded one by one (CESU-8), and Java's zero, as UTF-8 has them. */
const inUtf8 = (found: string): string =>
  found
    .replaceAll('\xc0\x80', '\0')
    .replace(
      /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g,
      (_, a: string, b: string, c: string, d: string) => {
        const bits = (x: string, mask: number): number => x.charCodeAt(0) & mask
        const point = (bits(a, 0x0f) << 16) + (bits(b, 0x3f) << 10) + (bits(c, 0x0f) << 6) + bits(d, 0x3f) + 0x10000
        return String.fromCharCode(...new TextEncoder().encode(String.fromCodePoint(point)))
      },
    )

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const decoded = (found: string): string | undefined => {
  try {
    return strict.decode(Uint8Array.from(inUtf8(found), (c) => c.charCodeAt(0)))
  } catch {
    return undefined
  }
}

const decodedAnew = (text: string): string | undefined => {
  for (const t of tables) {
    const found = encoded(text, t)
    if (found === undefined) continue
    const blanks = t.blanks ? withBlanks(found) : found
    const result = decoded(t.lossy ? blanks.replace(lost, replacementBytes) : blanks)
    if (result !== undefined) return result
  }
  return undefined
}

/** Control characters U+0080 to U+009F as what Windows has in their places. */
export const asWindows = (text: string): string =>
  text.replace(/[\x80-\x9f]/g, (c) => western[c.charCodeAt(0) - 128] ?? c)

const step = (text: string): string => {
  if (!isBad(text)) return text
  const anew = decodedAnew(text)
  if (anew !== undefined) return anew
  const inside = text.replace(embeddedPattern, (m) => (m.length < text.length && isBad(m) ? decodedRight(m) : m))
  if (inside !== text) return inside
  return asWindows(text)
}

export const decodedRight = (text: string): string => {
  const next = step(text)
  return next === text ? text : decodedRight(next)
}
