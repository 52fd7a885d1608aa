import { decodeHTML, decodeHTMLStrict } from 'entities'
import { asWindows, decodedRight } from './mojibake.ts'

/** What the original tokenizers do with a text before they take it apart; `tokenizer.json` does nothing of it. */

const ligatures: Readonly<Record<string, string>> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: 'ʼn',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
}
const ligature = new RegExp(`[${Object.keys(ligatures).join('')}]`, 'gu')
/** Half and full width forms, and the ideographic blank. */
const otherWidth = /[\u3000\uff01-\uffef]/g
const control = /[\p{Cc}\u206a-\u206f\ufeff\ufff9-\ufffc]/gu
/** Blanks, and what is left of bytes that mean nothing. */
const keptControl = /[\t\n\f\r\x80-\x9f]/
const escapeCode = '\x1b'
/** Colours of a terminal. */
const terminal = new RegExp(`${escapeCode}\\[[\\d;]*[a-zA-Z]`, 'g')

/** A named character with its semicolon; in capitals too where no name is written so. */
const entity = (found: string): string => {
  const known = decodeHTMLStrict(found)
  if (known !== found) return known.includes(';') && found.startsWith('&#') ? found : known
  if (found !== found.toUpperCase() || decodeHTML(found) !== found) return found
  const lower = decodeHTMLStrict(found.toLowerCase())
  return lower === found.toLowerCase() ? found : lower.toUpperCase()
}
const unescaped = (text: string): string => text.replace(/&#?[0-9A-Za-z]{1,24};/g, entity)

const mendedOnce = (text: string): string =>
  asWindows(decodedRight(text))
    .replace(ligature, (c) => ligatures[c] ?? c)
    .replace(otherWidth, (c) => (c === '\u3000' ? ' ' : c.normalize('NFKC')))
    .replace(/[\u201c-\u201f]/g, '"')
    .replace(/[\u02bc\u2018-\u201b]/g, "'")
    .replace(/\r\n|[\r\u2028\u2029\u0085]/g, '\n')
    .replace(/[\ud800-\udfff]/gu, '\ufffd')
    .replace(terminal, '')
    .replace(control, (c) => (keptControl.test(c) ? c : ''))
    .normalize('NFC')

const mendedLine = (line: string, readsNames: boolean): string => {
  const next = mendedOnce(readsNames ? unescaped(line) : line)
  return next === line ? line : mendedLine(next, readsNames)
}

/**
 * Text as ftfy's `fix_text` mends it with its defaults: each line until nothing changes. Names of characters (`&amp;`) are read in
 * lines before the first that has a `<`.
 */
export const mended = (text: string): string => {
  const lines = text.split(/(?<=\n)/)
  const tag = lines.findIndex((line) => line.includes('<'))
  return lines.map((line, i) => mendedLine(line, tag < 0 || i < tag)).join('')
}

const oneBlank = (text: string): string => text.replace(/\s+/g, ' ').trim()

/** How a text is mended before it is cut into tokens. */
export type Cleaning = 'none' | 'transformers' | 'openai'
/**
 * - `transformers`: the slow CLIPTokenizer of `vocab.json` and `merges.txt`, with ftfy
 * - `openai`: clip/simple_tokenizer.py, which reads names of characters twice more, with or without their semicolons
 */
export const cleanings: { readonly [C in Cleaning]: (text: string) => string } = {
  none: (text) => text,
  transformers: (text) => oneBlank(mended(text)).toLowerCase(),
  openai: (text) => oneBlank(decodeHTML(decodeHTML(mended(text))).trim()).toLowerCase(),
}
