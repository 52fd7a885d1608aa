import { postorder } from '../../graph/order.ts'
import type { Shape } from '../../graph/types.ts'
import type { Model, ModelNode, ModelType, NamedType } from './proto.ts'
import type { Constant, Filed, Initializer, OnnxNode, Result, Value } from './value.ts'

/** Names of model inputs and outputs: prefixed, so that no name of the user's can meet another. */
export const inputName = (leaf: string): string => `in.${leaf}`
export const outputName = (output: string): string => `out.${output}`

export interface ModelOutput {
  readonly name: string
  readonly type: ModelType
  readonly value: Value
  readonly readAs?: Shape
}

const nodesOf = (values: readonly Value[]): readonly OnnxNode[] =>
  values.flatMap((v) => (v.kind === 'result' ? [v.node] : []))
/** Constants up to this many bytes are compared by content, larger ones by identity. */
const comparable = 2 ** 20
const bytesOf = ({ data }: Constant): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
/** What equal constants have in common, and most others have not. */
const likeness = (c: Constant): string => {
  const bytes = bytesOf(c)
  return `${c.element}[${c.shape}] ${bytes.subarray(0, sample)} ${bytes.subarray(-sample)}`
}
/** Bytes of either end. */
const sample = 16
const isEqual = (a: Constant, b: Constant): boolean => {
  const [x, y] = [bytesOf(a), bytesOf(b)]
  return x.length === y.length && x.every((byte, i) => byte === y[i])
}

/** One pass over the nodes in order; what it has seen lives only here. */
const numbering = () => {
  const initializers: Initializer[] = []
  const names = new Map<Constant | Filed, string>()
  const alike = new Map<string, Constant[]>()
  const first = new Map<OnnxNode, OnnxNode>()
  const unique = new Map<string, { readonly node: OnnxNode; readonly id: number }>()
  const ids = new Map<OnnxNode, number>()

  /** One met before with the same content. */
  const equalTo = (c: Constant | Filed): Constant | undefined => {
    if (c.kind !== 'constant' || c.data.byteLength > comparable) return undefined
    const key = likeness(c)
    const met = alike.get(key) ?? []
    const equal = met.find((other) => isEqual(other, c))
    if (equal === undefined) alike.set(key, [...met, c])
    return equal
  }
  const constantName = (c: Constant | Filed): string => {
    const met = names.get(c)
    if (met !== undefined) return met
    const equal = equalTo(c)
    const name = equal === undefined ? `c${initializers.length}` : (names.get(equal) ?? '')
    if (equal === undefined) initializers.push({ name, value: c })
    names.set(c, name)
    return name
  }
  const resultName = ({ node, index }: Result): string => `v${ids.get(first.get(node) ?? node)}.${index}`
  const nameOf = (v: Value): string =>
    v.kind === 'absent'
      ? ''
      : v.kind === 'leaf'
        ? inputName(v.name)
        : v.kind === 'constant' || v.kind === 'filed'
          ? constantName(v)
          : resultName(v)
  const number = (c: OnnxNode): boolean => {
    const attributes = Object.entries(c.attributes).map(([name, a]) => `${name}=${JSON.stringify(a)}`)
    const key = [c.anew === true, c.domain, c.op, ...c.inputs.map(nameOf), ...attributes].join('\n')
    const known = unique.get(key)
    first.set(c, known?.node ?? c)
    if (known !== undefined) return false
    ids.set(c, unique.size)
    unique.set(key, { node: c, id: unique.size })
    return true
  }
  return { initializers, nameOf, number, representative: (c: OnnxNode): OnnxNode => first.get(c) ?? c }
}

/** Numbers what the outputs reach and drops the rest. Pure: equal arguments give equal models. */
export const assemble = (inputs: readonly NamedType[], outputs: readonly ModelOutput[]): Model => {
  const order = postorder(nodesOf(outputs.map((o) => o.value)), (n) => nodesOf(n.inputs))
  const { initializers, nameOf, number, representative } = numbering()
  const distinct = order.filter(number)

  const used = new Map<OnnxNode, Set<number>>()
  const use = (v: Value): void => {
    if (v.kind !== 'result') return
    const of = representative(v.node)
    used.set(of, (used.get(of) ?? new Set([0])).add(v.index))
  }
  for (const c of distinct) c.inputs.forEach(use)
  for (const o of outputs) use(o.value)

  const owned = new Map<string, string>()
  const copies: ModelNode[] = []
  for (const { name, value } of outputs) {
    const inner = nameOf(value)
    if (value.kind === 'result' && !owned.has(inner)) owned.set(inner, outputName(name))
    else copies.push(identity(inner, outputName(name)))
  }
  const finalName = (inner: string): string => owned.get(inner) ?? inner
  const nodes = distinct.map((c): ModelNode => {
    const indices = used.get(c) ?? new Set([0])
    return {
      op: c.op,
      domain: c.domain,
      attributes: c.attributes,
      inputs: c.inputs.map((i) => finalName(nameOf(i))),
      outputs: Array.from({ length: Math.max(...indices) + 1 }, (_, index) =>
        indices.has(index) ? finalName(nameOf({ kind: 'result', node: c, index })) : '',
      ),
    }
  })
  return {
    inputs: inputs.map(({ name, type }) => ({ name: inputName(name), type })),
    outputs: outputs.map(({ value, ...output }) => ({ ...output, name: outputName(output.name) })),
    initializers,
    nodes: [...nodes, ...copies.map((c) => ({ ...c, inputs: c.inputs.map(finalName) }))],
  }
}

const identity = (from: string, to: string): ModelNode => ({
  op: 'Identity',
  domain: '',
  attributes: {},
  inputs: [from],
  outputs: [to],
})
