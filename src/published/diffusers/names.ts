import type { Joined, Layout } from '../../nn/layout.ts'

/** A module by our name, which is the original's, and by that of diffusers; whatever lies in it has the same name in both. */
export interface Named {
  readonly ours: string
  readonly theirs: string
  /** Ours is a convolution of kernel 1, along a sequence (1) or a map (2), theirs a linear layer. */
  readonly trailing?: 1 | 2
  /** Ours packs several of theirs, of which `theirs` is the first. */
  readonly joined?: Joined
}
/** All modules of a network. */
export type Names = readonly Named[]

/** What stands in two modules, by names in them. */
export const inside = (ours: string, theirs: string, table: Readonly<Record<string, string>>): Names =>
  Object.entries(table).map(([own, other]) => ({ ours: `${ours}.${own}`, theirs: `${theirs}.${other}` }))

/** The innermost module that a name lies in, and the rest of the name. */
const found = (modules: ReadonlyMap<string, Named>, name: string): readonly [Named, string] | undefined => {
  for (let end = name.length; end > 0; end = name.lastIndexOf('.', end - 1)) {
    const module = modules.get(name.slice(0, end))
    if (module !== undefined) return [module, name.slice(end)]
  }
  return undefined
}

/** Where diffusers' files have what is ours: arrays (`out.2.weight`), and modules too (`out.2`). */
export const toTheirs = (names: Names): Layout => {
  const modules = new Map(names.map((named) => [named.ours, named]))
  return (name) => {
    const [module, rest = ''] = found(modules, name) ?? []
    if (module === undefined) return undefined
    const key = module.theirs + rest
    const { trailing, joined } = module
    return {
      key,
      ...(trailing !== undefined && rest === '.weight' ? { trailing } : {}),
      ...(joined === undefined ? {} : { joined: { ...joined, keys: joined.keys.map((own) => own + rest) } }),
    }
  }
}

/** Our name of an array or module of diffusers. */
export const toOurs = (names: Names): ((key: string) => string | undefined) => {
  const modules = new Map(names.map((named) => [named.theirs, named]))
  return (key) => {
    const [module, rest = ''] = found(modules, key) ?? []
    return module === undefined ? undefined : module.ours + rest
  }
}
