import { Buffer } from 'node:buffer'

/** Orders strings by code point, the same on every machine and in every locale. */
export const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** Whether a string has a surrogate without its other half: such a string has no UTF-8 form. */
export const hasLoneSurrogate = (text: string): boolean => /\p{Surrogate}/u.test(text)

/** Whether a name can stand alone as the name of a file in a folder, on every system. */
export const isPlainName = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name)

/** A text as a shell takes it for one argument: itself, or quoted. */
export const asArgument = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
