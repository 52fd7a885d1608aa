const utf8 = new TextEncoder()

/** Orders strings by code point, the same on every machine and in every locale: bytes of UTF-8 are in that order. */
export const byCodePoint = (a: string, b: string): number => {
  const [x, y] = [utf8.encode(a), utf8.encode(b)]
  const at = x.findIndex((byte, i) => byte !== y[i])
  return at < 0 ? x.length - y.length : (x[at] ?? 0) - (y[at] ?? -1)
}

/** Whether a string has a surrogate without its other half: such a string has no UTF-8 form. */
export const hasLoneSurrogate = (text: string): boolean => /\p{Surrogate}/u.test(text)

/** Whether a name can stand alone as the name of a file in a folder, on every system. */
export const isPlainName = (name: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name)

/** A text as a shell takes it for one argument: itself, or quoted. */
export const asArgument = (text: string): string =>
  /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
