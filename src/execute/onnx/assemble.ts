import type { Shape, TensorType } from '../../graph/types.ts'
import type { Model, ModelNode, NamedType } from './proto.ts'
import type { Call, Constant, Filed, Initializer, Result, Value } from './value.ts'

/** Names of model inputs and outputs: prefixed, so that no name of the user's can meet another. */
export const inputName = (leaf: string): string => `in.${leaf}`
export const outputName = (output: string): string => `out.${output}`

export interface ModelOutput {
  readonly name: string
  readonly type: TensorType
  readonly value: Value
  readonly readAs?: Shape
}

/** Every call the roots reach, inputs before users. Iterative: depth grows with the model. */
const reached = (roots: readonly Value[]): readonly Call[] => {
  const done = new Set<Call>()
  const order: Call[] = []
  const pending = roots.flatMap((r) => (r.kind === 'result' ? [r.call] : [])).reverse()
  while (pending.length > 0) {
    const top = pending.at(-1)
    if (top === undefined) break
    const missing = done.has(top)
      ? []
      : top.inputs.flatMap((i) => (i.kind === 'result' && !done.has(i.call) ? [i.call] : []))
    if (missing.length > 0) {
      pending.push(...missing.reverse())
      continue
    }
    pending.pop()
    if (!done.has(top)) {
      done.add(top)
      order.push(top)
    }
  }
  return order
}

/** Constants up to this many bytes are compared by content, larger ones by identity. */
const comparable = 2 ** 20
/** A character a byte. */
const content = ({ data }: Constant): string =>
  new TextDecoder('latin1').decode(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))

/** One pass over the calls in order; what it has seen lives only here. */
const numbering = () => {
  const initializers: Initializer[] = []
  const constants = new Map<Constant | Filed | string, string>()
  const calls = new Map<Call, Call>()
  const unique = new Map<string, { readonly call: Call; readonly id: number }>()
  const ids = new Map<Call, number>()

  const constantName = (c: Constant | Filed): string => {
    const key = c.kind === 'constant' && c.data.byteLength <= comparable ? `${c.element}[${c.shape}] ${content(c)}` : c
    const known = constants.get(key)
    if (known !== undefined) return known
    const name = `c${constants.size}`
    constants.set(key, name)
    initializers.push({ name, value: c })
    return name
  }
  const resultName = ({ call: of, index }: Result): string => `v${ids.get(calls.get(of) ?? of)}.${index}`
  const nameOf = (v: Value): string =>
    v.kind === 'absent'
      ? ''
      : v.kind === 'leaf'
        ? inputName(v.name)
        : v.kind === 'constant' || v.kind === 'filed'
          ? constantName(v)
          : resultName(v)
  const number = (c: Call): boolean => {
    const attributes = Object.entries(c.attributes).map(([name, a]) => `${name}=${JSON.stringify(a)}`)
    const key = [c.anew === true, c.domain, c.op, ...c.inputs.map(nameOf), ...attributes].join('\n')
    const known = unique.get(key)
    calls.set(c, known?.call ?? c)
    if (known !== undefined) return false
    ids.set(c, unique.size)
    unique.set(key, { call: c, id: unique.size })
    return true
  }
  return { initializers, nameOf, number, representative: (c: Call): Call => calls.get(c) ?? c }
}

/** Numbers what the outputs reach and drops the rest. Pure: equal arguments give equal models. */
export const assemble = (inputs: readonly NamedType[], outputs: readonly ModelOutput[]): Model => {
  const order = reached(outputs.map((o) => o.value))
  const { initializers, nameOf, number, representative } = numbering()
  const distinct = order.filter(number)

  const used = new Map<Call, Set<number>>()
  const use = (v: Value): void => {
    if (v.kind !== 'result') return
    const of = representative(v.call)
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
        indices.has(index) ? finalName(nameOf({ kind: 'result', call: c, index })) : '',
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
