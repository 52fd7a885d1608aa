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
const latin1 = new TextDecoder('latin1')
/** A character a byte. */
const content = ({ data }: Constant): string =>
  latin1.decode(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))

/** One pass over the nodes in order; what it has seen lives only here. */
const numbering = () => {
  const initializers: Initializer[] = []
  const constants = new Map<Constant | Filed | string, string>()
  const first = new Map<OnnxNode, OnnxNode>()
  const unique = new Map<string, { readonly node: OnnxNode; readonly id: number }>()
  const ids = new Map<OnnxNode, number>()

  const constantName = (c: Constant | Filed): string => {
    const met = constants.get(c)
    if (met !== undefined) return met
    const key = c.kind === 'constant' && c.data.byteLength <= comparable ? `${c.element}[${c.shape}] ${content(c)}` : c
    const equal = constants.get(key)
    const name = equal ?? `c${initializers.length}`
    if (equal === undefined) initializers.push({ name, value: c })
    constants.set(key, name).set(c, name)
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
