import { type Checked, collect, fail, failure } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { anything, type Codec, decode, dictionary, didYouMean, integer, list, record, text } from '../schema.ts'
import { feedName, type Graph, type Node } from './graph.ts'
import { type Attributes, attributes, isOpKind, type OpKind, opKinds } from './ops.ts'
import { inferType } from './shape-rules.ts'
import { sameType, showType, type TensorType, tensorType } from './types.ts'

/**
 * A graph as JSON: `{ "nodes": [{op, attributes, operands, type, scope}], "outputs": {name: index} }`. The types are
 * written for readers; decoding infers them again and refuses a file that claims others.
 */
export const encodeGraph = (g: Graph): unknown => ({ nodes: g.nodes, outputs: g.outputs })

const rawNode = record({
  op: text,
  attributes: anything,
  operands: list(integer({ min: 0 })),
  type: tensorType,
  scope: text,
})
const rawGraph = record({ nodes: list(rawNode), outputs: dictionary(integer({ min: 0 })) })
type RawNode = (typeof rawNode)['_A']

const attributeCodecs: { readonly [K in OpKind]: Codec<Attributes[K]> } = attributes
const decodeAttributes = <K extends OpKind>(op: K, raw: unknown, base: string): Checked<Attributes[K]> =>
  decode<Attributes[K]>(attributeCodecs[op], { tag: 'graph', base })(raw)

const decodeNode = (raw: RawNode, index: number, all: readonly TensorType[]): Checked<Node> => {
  const { op, operands, type, scope } = raw
  const base = `/nodes/${index}`
  if (!isOpKind(op)) return fail('graph', `${base}/op`, 'a known op', JSON.stringify(op), didYouMean(op, opKinds))
  const dangling = operands.filter((o) => o >= index)
  if (dangling.length > 0)
    return fail(
      'graph',
      `${base}/operands`,
      `nodes before ${index}`,
      dangling.join(', '),
      'operands stand before their users',
    )
  const types = operands.flatMap((o) => all[o] ?? [])
  return pipe(
    decodeAttributes(op, raw.attributes, `${base}/attributes`),
    E.flatMap((decoded) =>
      pipe(
        inferType(op, decoded, types),
        E.mapLeft(({ expected, got, hint }) => [failure('graph', `${base} (${op})`, expected, got, hint)] as const),
        E.flatMap((inferred) =>
          sameType(inferred, type)
            ? E.right({ op, attributes: decoded, operands, type, scope })
            : fail('graph', `${base}/type`, `${showType(inferred)}, as inferred`, showType(type)),
        ),
      ),
    ),
  )
}

const duplicateLeaves = (nodes: readonly Node[]): Checked<readonly unknown[]> => {
  const seen = new Map<string, Node>()
  return collect(
    nodes.map((n, i) => {
      const name = feedName(n)
      const first = name === undefined ? undefined : seen.get(name)
      if (name !== undefined && first === undefined) seen.set(name, n)
      return first === undefined || (first.op === n.op && sameType(first.type, n.type))
        ? E.right(undefined)
        : fail(
            'graph',
            `/nodes/${i}/attributes/name`,
            `another name, or ${first.op} ${showType(first.type)}`,
            `${n.op} ${showType(n.type)}`,
          )
    }),
  )
}

/** Reads a graph; unknown keys, dangling references and wrong types are refused, all of them named. */
export const decodeGraph = (u: unknown): Checked<Graph> =>
  pipe(
    decode(rawGraph, { tag: 'graph' })(u),
    E.flatMap(({ nodes, outputs }) => {
      const types = nodes.map((n) => n.type)
      const missing = Object.entries(outputs).filter(([, i]) => i >= nodes.length)
      const heads = collect(
        missing.map(
          ([name, i]): Checked<never> => fail('graph', `/outputs/${name}`, `a node below ${nodes.length}`, String(i)),
        ),
      )
      const decoded = collect(nodes.map((n, i) => decodeNode(n, i, types)))
      return pipe(
        collect<unknown>([heads, decoded]),
        E.flatMap(() => decoded),
        E.tap(duplicateLeaves),
        E.map((checked) => ({ nodes: checked, outputs })),
      )
    }),
  )
