/** Calls of a program, outside this library, the innermost first. */
export type Calls = () => readonly string[]

/** Where in a program a parameter was declared. */
export interface Place {
  /** Where the layer was made that has it; undefined for a parameter that belongs to none. */
  readonly layer: Calls | undefined
  readonly itself: Calls
}

const readable = (url: string): string => decodeURI(url.replace('file://', ''))
/** The library's own folder; in a bundle, the whole bundle, whose lines tell nobody anything. */
const own = readable(new URL(/* @vite-ignore: no file */ '..', import.meta.url).href)
const location = /(?:file:\/\/|https?:\/\/|\/|[A-Za-z]:[\\/]).*:\d+:\d+(?=\)?$)/

const framesOf = (stack: string): readonly string[] =>
  stack.split('\n').flatMap((line) => {
    const [url] = location.exec(line.trim()) ?? []
    const at = url === undefined ? '' : readable(url)
    return at === '' || at.startsWith(own) || at.includes('/node_modules/') ? [] : [at]
  })

/** Deeper than a layer lies below the program that asks for it. */
const depth = 60

/** The calls that lead to this one. Only V8 has to be asked for that many calls; it writes them down when it is asked to. */
export const here = (): Calls => {
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = depth
  const calls = new Error()
  Error.stackTraceLimit = before
  return () => framesOf(calls.stack ?? '')
}

/** The two calls at which the ways to two places part; the innermost where they are one; none where they lie in no program. */
export const parting = (a: Place, b: Place): readonly [string, string] | undefined => {
  const ofLayers = a.layer !== undefined && b.layer !== undefined && a.layer !== b.layer
  const first = (ofLayers ? a.layer : a.itself)()
  const second = (ofLayers ? b.layer : b.itself)()
  const at = Math.max(
    first.findIndex((call, i) => call !== second[i]),
    0,
  )
  const [x, y] = [first[at], second[at]]
  return x === undefined || y === undefined ? undefined : [x, y]
}
