import { type Shape, size } from '../graph/types.ts'

/** A parameter as its section names it. */
export interface NamedShape {
  readonly name: string
  readonly shape: Shape
}

/** The parameters of one part of a model. */
export interface Block {
  readonly name: string
  readonly parameters: number
  /** Of the weights; of the vectors where there is nothing else. */
  readonly shapes: readonly Shape[]
}

/** A residual block with its shortcut and its embedding has this many arrays; what has more is shown in parts. */
const largest = 12

const headOf = (name: string, depth: number): string => name.split('.').slice(0, depth).join('.')

const blockOf = (name: string, members: readonly NamedShape[]): Block => {
  const shapes = members.map(({ shape }) => shape)
  const weights = shapes.filter(({ length }) => length > 1)
  return {
    name,
    parameters: shapes.reduce((n, s) => n + size(s), 0),
    shapes: weights.length === 0 ? shapes : weights,
  }
}

/**
 * Parameters by the longest common prefixes that hold at most a residual block's arrays, in their order:
 * `encoder.down.1`, `encoder.mid.attn_1`, `time_embed`.
 */
export const blocksOf = (parameters: readonly NamedShape[], depth = 1): readonly Block[] => {
  const groups = new Map<string, NamedShape[]>()
  for (const p of parameters) {
    const head = headOf(p.name, depth)
    const members = groups.get(head) ?? []
    members.push(p)
    groups.set(head, members)
  }
  return [...groups].flatMap(([head, members]) => {
    const whole = members.some(({ name }) => headOf(name, depth + 1) === head)
    return members.length <= largest || whole ? [blockOf(head, members)] : blocksOf(members, depth + 1)
  })
}
