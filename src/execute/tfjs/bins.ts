import { exactText } from '../../graph/graph.ts'
import type { Shape } from '../../graph/types.ts'
import { sameShape } from '../../graph/types.ts'
import type { Carry } from '../executor.ts'
import { own, type Types } from '../feeds.ts'
import { isIdentity, type Order, range } from '../layout.ts'
import type { Loop } from '../tail/split.ts'
import type { Guards } from './guards.ts'
import type { Joined, Lying, Part } from './joined.ts'
import { ordersLeft } from './layout.ts'
import type { Roots } from './value.ts'

/** A graph on a backend: what its outputs are that no loop makes and what loops read, and the loops at its end. */
export interface Lowered {
  readonly body: Roots
  readonly loops: readonly Loop[]
  /** Outputs of loops or of the body that are taken only where a condition, which is of the body, holds. */
  readonly guards: Guards
  readonly leaves: Types
  readonly outputs: Types
}

/** An array of a loop that one of its outputs is in the next step: places among both. */
interface Place {
  readonly array: number
  readonly output: number
}
/** Loops that become one. */
export interface Bin {
  readonly loops: readonly Laid[]
  /** State, and the condition of the body without which it stays as it is. */
  readonly state: readonly (Place & { readonly joined: Joined; readonly condition: string | undefined })[]
}
/** A loop, and how its arrays lie: undefined where each is made one row as it is. */
export interface Laid {
  readonly loop: Loop
  readonly lying: Lying | undefined
}

const stateOf = ({ arrays, outputs }: Loop, guards: Guards, carry: Carry): readonly Place[] =>
  outputs.flatMap(({ name }, output) => {
    const next = own(carry, name)
    const array = arrays.findIndex((a) => a.from === 'leaf' && a.name === next)
    const guard = own(guards, name)
    return array < 0 || (guard !== undefined && guard.leaf !== next) ? [] : [{ array, output }]
  })

/** Numbers laid end to end at most: a longer array is worth calls of its own, and copies of all would take as much memory again. */
const most = 2 ** 20
interface Alike {
  readonly loops: readonly Loop[]
  readonly state: readonly Place[]
}
/** In the order of the first of each; those that give numbers to others stand alone. */
const alike = ({ loops, guards }: Lowered, carry: Carry): readonly Alike[] => {
  const made: Alike[] = []
  const open = new Map<string, { readonly loops: Loop[]; length: number }>()
  for (const loop of loops) {
    const { arrays, scalars, steps, outputs, gives, length } = loop
    const state = stateOf(loop, guards, carry)
    const results = outputs.map(({ name, operand }) => [operand, own(guards, name)?.condition ?? null])
    const likeness = exactText([arrays.length, scalars, steps, results, gives, state])
    const known = open.get(likeness)
    if (known !== undefined && gives.length === 0 && known.length + length <= most) {
      known.loops.push(loop)
      known.length += length
    } else {
      const first = [loop]
      made.push({ loops: first, state })
      open.set(likeness, { loops: first, length })
    }
  }
  return made
}

const shapeIn = (types: Types, name: string): Shape => own(types, name)?.shape ?? []
/**
 * Where all that a loop reads and makes is state or comes of the body, its arrays lie in the order in which the body leaves the gradient: so no
 * weight of a convolution is transposed.
 */
const lyingIn = (
  { body, leaves, outputs }: Lowered,
  left: Readonly<Record<string, Order>>,
  { arrays, outputs: named }: Loop,
  state: readonly Place[],
): Lying | undefined => {
  const stays = arrays.every(({ from }, i) => from === 'body' || state.some(({ array }) => array === i))
  const [shape, ...others] = [
    ...arrays.flatMap(({ from, name }) => (from === 'leaf' ? [shapeIn(leaves, name)] : [])),
    ...named.map(({ name }) => shapeIn(outputs, name)),
  ]
  if (shape === undefined || !stays || state.length < named.length || !others.every((s) => sameShape(s, shape)))
    return undefined
  const orders = arrays.flatMap(({ from, name }) =>
    from === 'body' && sameShape(body[name]?.type.shape ?? [], shape) ? [left[name] ?? []] : [],
  )
  return { shape, order: orders.find((order) => !isIdentity(order)) ?? range(shape.length) }
}

/** A name that no leaf and no output has. */
const fresh = ({ leaves, outputs }: Lowered): ((...place: readonly number[]) => string) => {
  const taken = [...Object.keys(leaves), ...Object.keys(outputs)]
  let prefix = 'joined.'
  while (taken.some((name) => name.startsWith(prefix))) prefix += '.'
  return (...place) => `${prefix}${place.join('.')}`
}
const partsOf = ({ leaves }: Lowered, loops: readonly Laid[], array: number): readonly Part[] => {
  let at = 0
  return loops.map(({ loop, lying }) => {
    const { name = '' } = loop.arrays[array] ?? {}
    const shape = shapeIn(leaves, name)
    const part = { leaf: name, at, ...(lying ?? { shape, order: range(shape.length) }) }
    at += loop.length
    return part
  })
}

/** The loops of a graph as few that do the same, told what is state from step to step. Pure. */
export const binsOf = (lowered: Lowered, carry: Carry): readonly Bin[] => {
  const all = alike(lowered, carry)
  const left = all.some(({ state }) => state.length > 0) ? ordersLeft(lowered.body) : {}
  const named = fresh(lowered)
  return all.map(({ loops, state }, bin) => {
    const laid = loops.map((loop) => ({ loop, lying: lyingIn(lowered, left, loop, state) }))
    return {
      loops: laid,
      state: state.map(({ array, output }) => ({
        array,
        output,
        condition: own(lowered.guards, loops[0]?.outputs[output]?.name ?? '')?.condition,
        joined: {
          leaf: named(bin, array),
          output: named(bin, array, output),
          parts: partsOf(lowered, laid, array),
        },
      })),
    }
  })
}
