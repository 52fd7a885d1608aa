import { bytes } from '../../graph/cost.ts'
import type { Graph } from '../../graph/graph.ts'
import { type Explained, withShares } from '../explain.ts'
import { loopsIn, partsIn, type Staged } from '../stages.ts'
import type { Loop } from '../tail/split.ts'
import { type Call, type CallKind, type Calls, inOrder } from './calls.ts'
import { planned } from './compile.ts'
import type { Pace } from './costs.ts'
import { layoutName } from './layouts.ts'
import type { Target } from './target.ts'

type Row = Omit<Explained, 'share'>

/** Other names and shapes of an array are no work. */
const free: ReadonlySet<CallKind> = new Set<CallKind>([
  'transpose',
  'reshape',
  'recompute',
  'barrier',
  'stopGradient',
  'mark',
])
/** One thread moves, however many there are: shared/ONNXRUNTIME.md, "What is left on A". */
const serial: ReadonlySet<CallKind> = new Set<CallKind>([
  'convert',
  'slice',
  'pad',
  'concat',
  'broadcast',
  'scatterAdd',
])

/** Of what products reach at best; undefined of what is no product. Where the runtime optimises, it chooses for itself. */
const reachedBy = ({ op, algorithm = 'direct' }: Call, { mode, costs: { pace } }: Target): number | undefined => {
  const { reached, optimised } = pace
  if (mode === 'sampling' && op === 'conv2d') return optimised
  const all: Readonly<Record<string, Readonly<Record<string, number>>>> = reached
  return all[op]?.[algorithm]
}
const milliseconds = (c: Call, target: Target, threads: number): number => {
  const { pace } = target.costs
  const moved = c.operands.reduce((sum, o) => sum + bytes(o.type), bytes(c.type))
  const moving = moved / (pace.bytes * (serial.has(c.op) ? 1 : threads))
  const reached = reachedBy(c, target)
  const computing = reached === undefined ? 0 : c.flops / (pace.flops * threads * reached)
  return Math.max(moving, computing) + pace.call
}

const leafOf = (c: Call): string | undefined => {
  const [of] = c.operands
  if ('name' in c.attributes) return c.attributes.name
  return of !== undefined && (c.op === 'convert' || c.op === 'transpose') ? leafOf(of) : undefined
}
/** The weight of a convolution, where a call was declared, or the leaf that it is made of. */
const nodeOf = (c: Call): string => {
  const [, weight] = c.op === 'conv2d' || c.op === 'convInputGrad' ? c.operands : []
  const named = weight === undefined ? undefined : leafOf(weight)
  return named ?? (c.scope === '' ? (leafOf(c) ?? '') : c.scope)
}
const rowOf = (c: Call, node: string, target: Target, threads: number): readonly Row[] =>
  c.operands.length === 0 || free.has(c.op)
    ? []
    : [
        {
          node,
          op: c.op,
          algorithm: c.algorithm ?? (c.anew === true ? 'anew' : 'direct'),
          layout: layoutName(c.layout),
          milliseconds: milliseconds(c, target, threads),
        },
      ]

/** Calls of numbers that are all known: where the runtime optimises, it makes them once, as it reads the model. */
const madeOnce = (calls: readonly Call[], { mode }: Target): ReadonlySet<Call> => {
  const known = new Set<Call>()
  for (const c of mode === 'sampling' ? calls : [])
    if (c.op === 'baked' || c.op === 'constant' || (c.operands.length > 0 && c.operands.every((o) => known.has(o))))
      known.add(c)
  return known
}

/** What a loop is about: of its outputs that by the shortest name, a weight rather than its moments. */
const subjectOf = ({ outputs }: Loop): string =>
  outputs.reduce((shortest, { name }) => (shortest === '' || name.length < shortest.length ? name : shortest), '')
/** Of what the loops are handed, what it is the gradient of. */
const gradientNames = (staged: Staged): ReadonlyMap<string, string> =>
  new Map(
    loopsIn(staged).flatMap((loop) =>
      loop.arrays.flatMap(({ from, name }) => (from === 'body' ? [[name, subjectOf(loop)] as const] : [])),
    ),
  )
const between: ReadonlySet<CallKind> = new Set<CallKind>([...free, 'convert', 'add', 'mul'])
/** The calls that make gradients, with what each is the gradient of. */
const gradientsIn = (calls: Calls, names: ReadonlyMap<string, string>): ReadonlyMap<Call, string> => {
  const found = new Map<Call, string>()
  for (const [output, root] of Object.entries(calls)) {
    const name = names.get(output)
    const pending = name === undefined ? [] : [root]
    for (let c = pending.pop(); c !== undefined && name !== undefined; c = pending.pop())
      if (between.has(c.op)) pending.push(...c.operands)
      else found.set(c, name)
  }
  return found
}

/** A loop reads and writes each array once, in one thread. */
const loopRow = (loop: Loop, pace: Pace): Row => ({
  node: subjectOf(loop),
  op: 'loop',
  algorithm: 'WebAssembly',
  layout: 'plain',
  milliseconds: (4 * loop.length * (loop.arrays.length + loop.outputs.length)) / pace.bytes,
})

/** What a staged graph spends its time on; parts beside each other share out the threads, and so each takes its share of the time. */
export const explained = (
  staged: Staged,
  target: Target,
  { threads, baked }: { readonly threads: number; readonly baked: readonly string[] },
): readonly Explained[] => {
  const names = gradientNames(staged)
  const rowsOf = (part: Graph): readonly Row[] => {
    const calls = planned(part, target, baked)
    const gradients = gradientsIn(calls, names)
    const ordered = inOrder(calls)
    const once = madeOnce(ordered, target)
    return ordered.flatMap((c) => (once.has(c) ? [] : rowOf(c, gradients.get(c) ?? nodeOf(c), target, threads)))
  }
  return withShares([
    ...partsIn(staged).flatMap(rowsOf),
    ...loopsIn(staged).map((loop) => loopRow(loop, target.costs.pace)),
  ])
}
