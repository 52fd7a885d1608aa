import fc from 'fast-check'
import { apply, freeze, input, type Tensor } from '../../src/declare/index.ts'
import { showErrors } from '../../src/error.ts'
import type { Values } from '../../src/execute/executor.ts'
import { feedTypes, type Graph, isNode, type Node } from '../../src/graph/graph.ts'
import type { OpKind } from '../../src/graph/ops.ts'
import { printGraph } from '../../src/graph/print.ts'
import { E, pipe } from '../../src/prelude.ts'
import { any, type Domain, drawValue } from './domains.ts'
import { applications, type Operand } from './ops.ts'

/** Expressions, and numbers to feed their leaves with. */
export interface Case {
  readonly outputs: Readonly<Record<string, Tensor>>
  readonly graph: Graph
  readonly feeds: Values
  readonly [fc.toStringMethod]: () => string
}

/** A graph and what it is fed. */
export type Fed = Pick<Case, 'graph' | 'feeds'>
export const showFed = ({ graph, feeds }: Fed): string =>
  `${printGraph(graph)}\nfed with ${JSON.stringify(feeds, (_, v) => (ArrayBuffer.isView(v) ? [...Object.values(v)] : v))}`

export const frozen = (outputs: Readonly<Record<string, Tensor>>): Graph =>
  pipe(
    freeze(outputs),
    E.getOrElse<Parameters<typeof showErrors>[0], Graph>((es) => {
      throw new Error(`an ill-typed case was generated:\n${showErrors(es)}`)
    }),
  )

/** Feeds for all leaves, each from its own domain. */
export const fedCase = (
  outputs: Readonly<Record<string, Tensor>>,
  domains: ReadonlyMap<string, Domain>,
): fc.Arbitrary<Case> => {
  const graph = frozen(outputs)
  const leaves = Object.entries(feedTypes(graph))
  const values = Object.fromEntries(leaves.map(([name, type]) => [name, drawValue(type, domains.get(name) ?? any)]))
  return fc.record(values).map((feeds) => ({
    outputs,
    graph,
    feeds,
    [fc.toStringMethod]: () => showFed({ graph, feeds }),
  }))
}

export interface Step {
  readonly operands: readonly Operand[]
  readonly build: (args: readonly Tensor[]) => Tensor
}
export const stepOf = <K extends OpKind>(op: K): fc.Arbitrary<Step> =>
  applications[op].map(({ attributes, operands }) => ({ operands, build: (args) => apply(op, attributes, args) }))

const applied = ({ operands, build }: Step): Tensor => build(operands.map(({ type }, i) => input(`x${i}`, type)))
const fed = (step: Step): fc.Arbitrary<Case> =>
  fedCase({ y: applied(step) }, new Map(step.operands.map(({ domain }, i) => [`x${i}`, domain])))
/** One op, applied to inputs `x0`, `x1`, ...; its result is the output `y`. */
export const caseOf = (op: OpKind): fc.Arbitrary<Case> => stepOf(op).chain(fed)

/** An axis of some operands, counted from one end, is emptied. */
const emptied = (op: OpKind): fc.Arbitrary<Step> =>
  fc
    .tuple(stepOf(op), fc.integer({ min: -4, max: 3 }), fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }))
    .map(([{ operands, build }, at, chosen]) => ({
      operands: operands.map((o, i) => {
        const { shape } = o.type
        const axis = at < 0 ? shape.length + at : at
        return chosen[i] === true && shape[axis] !== undefined
          ? { ...o, type: { ...o.type, shape: shape.with(axis, 0) } }
          : o
      }),
      build,
    }))
const isOfNone = (step: Step): boolean =>
  step.operands.some(({ type }) => type.shape.includes(0)) && applied(step).fault === undefined
/** One op of arrays of which some have no numbers. */
export const caseOfNone = (op: OpKind): fc.Arbitrary<Case> => emptied(op).filter(isOfNone).chain(fed)
export const takesNone = (op: OpKind): boolean => fc.sample(emptied(op), { numRuns: 200, seed: 1 }).some(isOfNone)

const behind = (n: Node, prefix: string): Node => {
  if (!isNode('input')(n) && !isNode('parameter')(n) && !isNode('noise')(n)) return n
  return { ...n, attributes: { ...n.attributes, name: prefix + n.attributes.name } }
}
const prefixOf = (i: number): string => `${i}/`
const prefixed = <A>(of: Readonly<Record<string, A>>, i: number): readonly (readonly [string, A])[] =>
  Object.entries(of).map(([name, x]) => [prefixOf(i) + name, x])
/** Several in one graph, names of leaves and outputs behind the number of theirs: what takes long to compile compiles once. */
export const sideBySide = (all: readonly Fed[]): Fed => {
  const starts = all.map((_, i) => all.slice(0, i).reduce((sum, { graph }) => sum + graph.nodes.length, 0))
  return {
    graph: {
      nodes: all.flatMap(({ graph: { nodes } }, i) =>
        nodes.map((n) => ({
          ...behind(n, prefixOf(i)),
          operands: n.operands.map((o) => o + (starts[i] ?? 0)),
        })),
      ),
      outputs: Object.fromEntries(
        all.flatMap(({ graph: { outputs } }, i) =>
          prefixed(outputs, i).map(([name, at]) => [name, at + (starts[i] ?? 0)]),
        ),
      ),
    },
    feeds: Object.fromEntries(all.flatMap(({ feeds }, i) => prefixed(feeds, i))),
  }
}
/** Of results of several those of one. */
export const resultsOf = (values: Values, i: number): Values =>
  Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) =>
      name.startsWith(prefixOf(i)) ? [[name.slice(prefixOf(i).length), value]] : [],
    ),
  )
