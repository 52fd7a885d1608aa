import type { Constant, Filed, Initializer } from './value.ts'

/** Arrays of a model that its bytes do not hold: the runtime finds them in files, or is handed them as they lie in memory. */

/** Where an initialiser lies: protobuf's entries of `external_data`. */
export interface Location {
  readonly location: string
  readonly offset: number
  readonly length: number
}
export interface Outside {
  /** By the names of the initialisers. */
  readonly locations: ReadonlyMap<string, Location>
  /** What is handed over, by location. */
  readonly memory: readonly { readonly path: string; readonly data: Uint8Array }[]
  /** The folder that the other locations begin in. */
  readonly folder?: string
}

/**
 * Constants of so many bytes are handed over: in a model they would be in memory three times while its session is made, and protobuf
 * allows 2^31 bytes in all.
 */
const large = 2 ** 20

const elementBytes = { float32: 4, float16: 2, bfloat16: 2 } as const
const steps = (path: string): readonly string[] => path.split(/[\\/]/)
/** The names that all paths begin with; the last name of a path is its file's. */
const common = (paths: readonly string[]): readonly string[] => {
  const [first = [], ...others] = paths.map((path) => steps(path).slice(0, -1))
  const end = first.findIndex((name, i) => others.some((other) => other[i] !== name))
  return end < 0 ? first : first.slice(0, end)
}

const inFiles = (filed: readonly (Initializer & { readonly value: Filed })[]): Outside => {
  const folder = common(filed.map(({ value }) => value.path))
  const located = filed.map(({ name, value: { path, element, position, shape } }) => {
    const location = steps(path).slice(folder.length).join('/')
    const length = shape.reduce((n, d) => n * d, elementBytes[element])
    return [name, { location, offset: position, length }] as const
  })
  return { locations: new Map(located), memory: [], folder: `${folder.join('/')}/` }
}
const inMemory = (constants: readonly (Initializer & { readonly value: Constant })[]): Outside => {
  const largeOnes = constants.filter(({ value }) => value.data.byteLength >= large)
  return {
    locations: new Map(
      largeOnes.map(({ name, value }) => [name, { location: name, offset: 0, length: value.data.byteLength }]),
    ),
    memory: largeOnes.map(({ name, value: { data } }) => ({
      path: name,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  }
}

/** The runtime takes arrays from files or from memory, not both: beside those in files the others stay in the model. */
export const outside = (initializers: readonly Initializer[]): Outside => {
  const filed = initializers.flatMap(({ name, value }) => (value.kind === 'filed' ? [{ name, value }] : []))
  return filed.length > 0
    ? inFiles(filed)
    : inMemory(initializers.flatMap(({ name, value }) => (value.kind === 'constant' ? [{ name, value }] : [])))
}
/** A runtime that has to have all in the model. */
export const nothingOutside: Outside = { locations: new Map(), memory: [] }
