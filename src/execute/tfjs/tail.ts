import type { Checked } from '../../error.ts'
import { type Graph, outputTypes } from '../../graph/graph.ts'
import type { Shape } from '../../graph/types.ts'
import { E, pipe } from '../../prelude.ts'
import type { Types } from '../feeds.ts'
import { type Loop, type Operand, type Source, splitTail, type TailOp } from '../tail/split.ts'
import { binary, unary } from './arithmetic.ts'
import { lower } from './lower.ts'
import type { Target } from './lowering.ts'
import { broadcast, concat, leaf, type Roots, reshape, scalar, slice, type Value } from './value.ts'

/**
 * The arithmetic at a graph's end, an optimiser's and an average's, is the same for every parameter. Where a call costs more than what it
 * does for most of them, they are laid end to end, and a call does it for all.
 */

/** Numbers laid end to end at most: a longer array is worth calls of its own, and copies of all would take as much memory again. */
const most = 2 ** 20

/** What two loops have in common that can be one. */
const likeness = ({ arrays, scalars, steps, outputs, gives }: Loop): string =>
  JSON.stringify([arrays.length, scalars, steps, outputs.map((o) => o.operand), gives])

/** Loops that become one, in the order of the first of each; those that give numbers to others stand alone. */
const bins = (loops: readonly Loop[]): readonly (readonly Loop[])[] => {
  const made: Loop[][] = []
  const open = new Map<string, { readonly bin: Loop[]; length: number }>()
  for (const loop of loops) {
    const key = likeness(loop)
    const known = open.get(key)
    if (known !== undefined && loop.gives.length === 0 && known.length + loop.length <= most) {
      known.bin.push(loop)
      known.length += loop.length
    } else {
      const bin = [loop]
      made.push(bin)
      open.set(key, { bin, length: loop.length })
    }
  }
  return made
}

const apply: { readonly [O in TailOp]: (a: Value, b: Value) => Value } = {
  neg: (a) => unary('Neg', a),
  abs: (a) => unary('Abs', a),
  sqrt: (a) => unary('Sqrt', a),
  add: (a, b) => binary('Add', a, b),
  sub: (a, b) => binary('Sub', a, b),
  mul: (a, b) => binary('Multiply', a, b),
  div: (a, b) => binary('RealDiv', a, b),
}

/** The outputs of loops, beside those of the body that they read. */
const computed = (loops: readonly Loop[], body: Roots, leaves: Types, outputs: Types): Roots => {
  const given: Record<string, Value> = {}
  const sourceOf = ({ from, name }: Source): Value => {
    const type = leaves[name]
    const found = from === 'body' ? body[name] : from === 'loop' ? given[name] : type && leaf(name, type)
    if (found === undefined) throw new Error(`a loop reads ${name}, which nothing gives`)
    return found
  }
  const made: Record<string, Value> = {}
  for (const bin of bins(loops)) {
    const [first, ...others] = bin
    if (first === undefined) continue
    const total = bin.reduce((sum, { length }) => sum + length, 0)
    const flat = (loop: Loop, i: number): Value => {
      const source = loop.arrays[i]
      if (source === undefined) throw new Error(`a loop without array ${i}`)
      return reshape(sourceOf(source), [loop.length])
    }
    const arrays = first.arrays.map((_, i) => concat(0, [flat(first, i), ...others.map((loop) => flat(loop, i))]))
    const scalars = first.scalars.map((s) => reshape(sourceOf(s), []))
    const steps: Value[] = []
    const operand = (o: Operand): Value => {
      if (o.kind === 'constant') return scalar('float32', o.value)
      const found = { array: arrays, scalar: scalars, step: steps }[o.kind][o.index]
      if (found === undefined) throw new Error(`a loop without ${o.kind} ${o.index}`)
      return found
    }
    for (const { op, operands } of first.steps) {
      const [a, b = a] = operands.map(operand)
      if (a === undefined || b === undefined) throw new Error(`${op} of nothing`)
      steps.push(apply[op](a, b))
    }
    const part = (of: Operand, at: number, length: number, shape: Shape): Value => {
      const whole = operand(of)
      // What is made of single numbers alone is the same everywhere.
      return reshape(whole.type.shape[0] === total ? slice(whole, [at], [length]) : broadcast(whole, [length]), shape)
    }
    let at = 0
    for (const { length, outputs: named, gives } of bin) {
      for (const { name, operand: of } of named) made[name] = part(of, at, length, outputs[name]?.shape ?? [length])
      for (const { name, operand: of } of gives) given[name] = part(of, at, length, [])
      at += length
    }
  }
  return made
}

/**
 * What the outputs of a graph are on a backend, as `lower` has it; on one that wants it, loops of the same arithmetic at its end are one.
 * Leaves named in `baked` stay what they are.
 */
export const lowerTogether = (g: Graph, target: Target, leaves: Types, baked: readonly string[]): Checked<Roots> => {
  if (!target.together) return lower(g, target)
  const { body, loops } = splitTail(g, new Set(baked))
  return pipe(
    lower(body, target),
    E.map((roots) => {
      const ends = computed(loops, roots, leaves, outputTypes(g))
      return Object.fromEntries(
        Object.keys(g.outputs).map((name): [string, Value] => {
          const found = ends[name] ?? roots[name]
          if (found === undefined) throw new Error(`no output ${name}`)
          return [name, found]
        }),
      )
    }),
  )
}
