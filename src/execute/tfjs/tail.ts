import type { Checked } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import type { Shape } from '../../graph/types.ts'
import { E, pipe } from '../../prelude.ts'
import type { Carry } from '../executor.ts'
import { own } from '../feeds.ts'
import { type Loop, type Operand, type Source, splitTail, type TailOp } from '../tail/split.ts'
import { binary, unary } from './arithmetic.ts'
import { type Bin, binsOf, type Laid, type Lowered } from './bins.ts'
import { unguarded } from './guards.ts'
import { flat, type Joined, leafOf, parted } from './joined.ts'
import { lower } from './lower.ts'
import type { Target } from './lowering.ts'
import { none, rewrite } from './quirks.ts'
import { broadcast, call, concat, leaf, type Roots, reshape, scalar, shapeOf, slice, type Value } from './value.ts'

/**
 * The arithmetic at a graph's end, an optimiser's and an average's, is the same for every parameter. Where a call costs more than what it
 * does for most of them, they are laid end to end, and a call does it for all. State lies so from step to step.
 */

/** As `lower` has it; on a backend that wants it without the arithmetic at its end. Leaves named in `baked` stay what they are. */
export const lowerTogether = (g: Graph, target: Target, baked: readonly string[]): Checked<Lowered> => {
  const { graph, guards } = target.together ? unguarded(g) : { graph: g, guards: {} }
  const { body, loops } = target.together ? splitTail(graph, new Set(baked)) : { body: graph, loops: [] }
  return pipe(
    lower(body, target),
    E.map((roots) => ({ body: roots, loops, guards, leaves: feedTypes(g), outputs: outputTypes(g) })),
  )
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
/** What a loop makes of arrays in one row: the value of an operand. */
const computing = ({ steps }: Loop, arrays: readonly Value[], scalars: readonly Value[]): ((o: Operand) => Value) => {
  const done: Value[] = []
  const operand = (o: Operand): Value => {
    if (o.kind === 'constant') return scalar('float32', o.value)
    const found = { array: arrays, scalar: scalars, step: done }[o.kind][o.index]
    if (found === undefined) throw new Error(`a loop without ${o.kind} ${o.index}`)
    return found
  }
  for (const { op, operands } of steps) {
    const [a, b = a] = operands.map(operand)
    if (a === undefined || b === undefined) throw new Error(`${op} of nothing`)
    done.push(apply[op](a, b))
  }
  return operand
}

/** What is made, or what was kept. */
const unless = (condition: Value, made: Value, kept: Value): Value =>
  call('Select', [broadcast(reshape(condition, []), shapeOf(made)), made, kept], made.type)

type Sources = (of: Source) => Value
/** What a bin makes: outputs and its state by their names, and numbers for others. */
const computed = (
  { loops, state }: Bin,
  shapeIn: (output: string) => Shape,
  sourceOf: Sources,
): { readonly results: Roots; readonly gives: Roots } => {
  const [first, ...others] = loops
  if (first === undefined) return { results: {}, gives: {} }
  const total = loops.reduce((sum, { loop }) => sum + loop.length, 0)
  const row = ({ loop, lying }: Laid, i: number): Value => {
    const source = loop.arrays[i]
    if (source === undefined) throw new Error(`a loop without array ${i}`)
    return lying === undefined ? reshape(sourceOf(source), [loop.length]) : flat(sourceOf(source), lying)
  }
  const arrays = first.loop.arrays.map((_, i) => {
    const lies = state.find(({ array }) => array === i)
    return lies === undefined ? concat(0, [row(first, i), ...others.map((l) => row(l, i))]) : leafOf(lies.joined)
  })
  const scalars = first.loop.scalars.map((s) => reshape(sourceOf(s), []))
  const operand = computing(first.loop, arrays, scalars)
  /** What is made of single numbers alone is the same everywhere. */
  const whole = (of: Operand): Value =>
    operand(of).type.shape[0] === total ? operand(of) : broadcast(operand(of), [total])

  const results: Record<string, Value> = {}
  const gives: Record<string, Value> = {}
  for (const { output, joined, condition } of state) {
    const of = first.loop.outputs[output]
    if (of === undefined) throw new Error(`a loop without output ${output}`)
    const next = whole(of.operand)
    results[joined.output] =
      condition === undefined ? next : unless(sourceOf({ from: 'body', name: condition }), next, leafOf(joined))
  }
  let at = 0
  for (const { loop } of loops) {
    const part = (of: Operand, shape: Shape): Value => reshape(slice(whole(of), [at], [loop.length]), shape)
    loop.outputs.forEach(({ name, operand: of }, i) => {
      if (state.every(({ output }) => output !== i)) results[name] = part(of, shapeIn(name))
    })
    for (const { name, operand: of } of loop.gives) gives[name] = part(of, [])
    at += loop.length
  }
  return { results, gives }
}

/** What a graph's outputs are, and the state that lies end to end: there under names of its own, not of its parts. */
export interface Ended {
  readonly roots: Roots
  readonly joined: readonly Joined[]
}
/** The outputs of a graph whose `carry` is state from step to step. */
export const ended = (lowered: Lowered, carry: Carry = {}): Ended => {
  const { leaves, outputs } = lowered
  const bins = binsOf(lowered, carry)
  const joined = bins.flatMap(({ state }) => state.map((s) => s.joined))
  const apart: Roots = Object.assign({}, ...joined.map(parted))
  const body = rewrite(none, (of) => own(apart, of.name) ?? of)(lowered.body)
  const made: Record<string, Value> = {}
  const given: Record<string, Value> = {}
  const sourceOf = ({ from, name }: Source): Value => {
    const type = leaves[name]
    const found =
      { body, loop: given, leaf: apart }[from][name] ?? (from === 'leaf' && type ? leaf(name, type) : undefined)
    if (found === undefined) throw new Error(`a loop reads ${name}, which nothing gives`)
    return found
  }
  for (const bin of bins) {
    const { results, gives } = computed(bin, (name) => outputs[name]?.shape ?? [], sourceOf)
    Object.assign(made, results)
    Object.assign(given, gives)
  }
  const rest = Object.keys(outputs).flatMap((name): readonly (readonly [string, Value])[] => {
    const [found, guard] = [made[name] ?? body[name], own(lowered.guards, name)]
    const kept = (of: string): Value => sourceOf({ from: 'leaf', name: of })
    if (found !== undefined && guard !== undefined)
      return [[name, unless(sourceOf({ from: 'body', name: guard.condition }), found, kept(guard.leaf))]]
    if (found !== undefined) return [[name, found]]
    if (own(apart, own(carry, name) ?? '') === undefined) throw new Error(`no output ${name}`)
    return []
  })
  const ends = joined.flatMap(({ output }) => {
    const found = made[output]
    return found === undefined ? [] : [[output, found] as const]
  })
  return { roots: Object.fromEntries([...rest, ...ends]), joined }
}
