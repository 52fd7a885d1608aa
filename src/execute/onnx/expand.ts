import { feedName, type Graph } from '../../graph/graph.ts'
import { halfBits } from '../../graph/half.ts'
import type { Value as ArrayValue, FileArray, FileArrays, Values } from '../executor.ts'
import { isOfNone } from '../none.ts'
import { assemble, type ModelOutput } from './assemble.ts'
import { type Call, type CallKind, type Calls, inOrder } from './calls.ts'
import { convert } from './emit/convert.ts'
import { convolutionEmits } from './emit/convolution.ts'
import { elementwiseEmits } from './emit/elementwise.ts'
import type { EmitTable, Site } from './emit/emit.ts'
import { movementEmits } from './emit/movement.ts'
import { normalisationEmits } from './emit/normalisation.ts'
import { productEmits } from './emit/products.ts'
import type { Model } from './proto.ts'
import type { Target } from './target.ts'
import {
  type Constant,
  cast,
  constantOf,
  filledWith,
  knownShape,
  leaf,
  ofShape,
  reshaped,
  type Value,
} from './value.ts'

/** Calls whose numbers are known, by name. */
export interface Known {
  readonly constants: Values
  readonly files: FileArrays
}

const tableOf = ({ constants, files }: Known): EmitTable => ({
  input: ({ call }) => leaf(call.attributes.name),
  parameter: ({ call }) => leaf(call.attributes.name),
  noise: ({ call }) => leaf(call.attributes.name),
  baked: ({ call: { attributes } }) => {
    const [constant, file] = [constants[attributes.name], files[attributes.name]]
    if (constant !== undefined) return bake(constant)
    if (file !== undefined) return filed(file)
    throw new Error(`${attributes.name} is known of nowhere`)
  },
  ...elementwiseEmits,
  ...movementEmits,
  ...productEmits,
  ...convolutionEmits,
  ...normalisationEmits,
  convert,
})
const emit = <K extends CallKind>(table: EmitTable, call: Call<K>, values: readonly Value[], target: Target): Value => {
  const site: Site<K> = { call, values, target }
  const { type, operands } = call
  return isOfNone(type, operands) ? filledWith(type.dtype, type.shape, 0) : table[call.op](site)
}

/** Calls as an ONNX model, which is fed the leaves in the order of the graph. */
export const expand = (calls: Calls, g: Graph, target: Target, known: Known): Model => {
  const table = tableOf(known)
  const values = new Map<Call, Value>()
  const made = (c: Call): Value => {
    const found = values.get(c)
    if (found === undefined) throw new Error(`${c.op} is read before it is made`)
    return found
  }
  for (const c of inOrder(calls)) values.set(c, emit(table, c, c.operands.map(made), target))
  const inputs = new Map(
    g.nodes.flatMap((n) => {
      const name = feedName(n)
      return name === undefined || name in known.constants || name in known.files
        ? []
        : [[name, { name, type: n.type }] as const]
    }),
  )
  return assemble(
    [...inputs.values()],
    Object.entries(calls).map(([name, c]) => {
      const output = { name, type: c.type, value: made(c) }
      return target.device === 'cpu' ? asMade(output) : output
    }),
  )
}

/** An array as it was made before it was reshaped: the runtime would copy it, its reader need not. */
const asMade = (output: ModelOutput): ModelOutput => {
  const value = reshaped(output.value)
  const shape = value === undefined ? undefined : knownShape(value)
  return value === undefined || shape === undefined
    ? output
    : { ...output, value, type: { ...output.type, shape }, readAs: output.type.shape }
}

/** The runtime widens numbers as it builds a session, one array after the other. */
const filed = ({ path, position, element, shape }: FileArray): Value => {
  const stored: Value = { kind: 'filed', element, shape, path, position }
  return element === 'float32' ? stored : ofShape(cast(stored, 'float32'), shape)
}
const bake = ({ dtype, shape, data }: ArrayValue): Constant =>
  dtype === 'float16'
    ? constantOf(dtype, shape, Uint16Array.from(data, halfBits))
    : constantOf(dtype, shape, data instanceof Float64Array ? Float32Array.from(data) : data)
