import type { Graph } from '../../graph/graph.ts'
import { halfBits } from '../../graph/half.ts'
import type { Shape } from '../../graph/types.ts'
import { pipe, RR } from '../../prelude.ts'
import type { Carry, Values } from '../executor.ts'
import { assemble, inputName, outputName } from './assemble.ts'
import { lower } from './compile.ts'
import type { Model, ModelNode, ModelType, NamedType } from './proto.ts'
import {
  type Constant,
  call,
  cast,
  constantOf,
  elementCode,
  type Initializer,
  int,
  leaf,
  reshape,
  scalar,
  transpose,
} from './value.ts'

/**
 * ONNX for other runtimes: operators of the domain ai.onnx alone, opset 21, inputs and outputs by names that a person would give them; and
 * models put together from several, one of which is the body of a loop.
 */

/** The model of a graph around its weights, in standard operators. Pure. */
export const portable = (g: Graph, constants: Values): Model =>
  lower(g, { device: 'portable', mode: 'sampling', block: null }, constants)

/** What a name in a model is called. */
type Naming = (name: string) => string
const renamed = (model: Model, naming: Naming): Model => {
  const called: Naming = (name) => (name === '' ? '' : naming(name))
  return {
    inputs: model.inputs.map((x) => ({ ...x, name: called(x.name) })),
    outputs: model.outputs.map((x) => ({ ...x, name: called(x.name) })),
    initializers: model.initializers.map((x) => ({ ...x, name: called(x.name) })),
    nodes: model.nodes.map((n) => ({ ...n, inputs: n.inputs.map(called), outputs: n.outputs.map(called) })),
  }
}
/** A model whose inputs are what stands elsewhere, where `inputs` says so, and whose own names are no one else's. */
const within = (part: string, model: Model, inputs: Readonly<Record<string, string>>): Model => {
  const leaves = new Map(model.inputs.map(({ name }) => [name, name.slice(inputName('').length)] as const))
  const made = new Map(model.outputs.map(({ name }) => [name, name.slice(outputName('').length)] as const))
  return renamed(model, (name) => {
    const [input, output] = [leaves.get(name), made.get(name)]
    return input !== undefined ? (inputs[input] ?? input) : `${part}/${output ?? name}`
  })
}

/** With the names of the graph's own leaves and outputs. Pure. */
export const asNamed = (model: Model): Model => {
  const leaves = new Map(model.inputs.map(({ name }) => [name, name.slice(inputName('').length)] as const))
  const made = new Map(model.outputs.map(({ name }) => [name, name.slice(outputName('').length)] as const))
  const taken = new Set(leaves.values())
  return renamed(model, (name) => {
    const output = made.get(name)
    return leaves.get(name) ?? (output === undefined ? `in/${name}` : taken.has(output) ? `${output}_out` : output)
  })
}

/** A part of a model. */
export interface Part {
  readonly name: string
  readonly model: Model
  /** By its leaves, what they are: an output `part/name`, or an input of the whole; that of its own name where left out. */
  readonly inputs?: Readonly<Record<string, string>>
}
/** A part that is run once for each row of its tables. */
export interface LoopPart extends Part {
  readonly steps: number
  /** Outputs, and by which leaf each enters the next step. */
  readonly carry: Carry
  /** By leaves what they begin with. */
  readonly start: Readonly<Record<string, string>>
  /** By leaves the arrays of which each step is fed a row. */
  readonly rows: Readonly<Record<string, string>>
  /** Numbers that it is made with, by names. */
  readonly numbers: readonly Initializer[]
}

const node = (op: string, inputs: readonly string[], outputs: readonly string[]): ModelNode => ({
  op,
  domain: '',
  attributes: {},
  inputs,
  outputs,
})
const once: ModelType = { dtype: 'int64', shape: [] }
const truth: ModelType = { dtype: 'bool', shape: [] }

/** A loop as one node: the step's weights stand outside of it, so that they are there once. */
const looped = ({ name, model, inputs = {}, steps, carry, start, rows, numbers }: LoopPart): Model => {
  const own = (local: string): string => `${name}/${local}`
  const carried = Object.entries(carry)
  const step = within(name, model, {
    ...inputs,
    ...pipe(
      rows,
      RR.mapWithIndex((local: string) => own(`row/${local}`)),
    ),
    ...Object.fromEntries(carried.map(([, local]) => [local, own(`carried/${local}`)])),
  })
  const typeOf = (local: string): ModelType => {
    const found = model.inputs.find((x) => x.name === inputName(local))
    if (found === undefined) throw new Error(`the step has no leaf ${local}`)
    return found.type
  }
  const body: Model = {
    inputs: [
      { name: own('step'), type: once },
      { name: own('on'), type: truth },
      ...carried.map(([, local]): NamedType => ({ name: own(`carried/${local}`), type: typeOf(local) })),
    ],
    outputs: [
      { name: own('still'), type: truth },
      ...carried.map(([output, local]) => ({ name: own(output), type: typeOf(local) })),
    ],
    initializers: [],
    nodes: [
      node('Identity', [own('on')], [own('still')]),
      ...Object.entries(rows).map(([local, from]) => node('Gather', [from, own('step')], [own(`row/${local}`)])),
      ...step.nodes,
    ],
  }
  const outside = step.inputs.filter(({ name: leafName }) => !leafName.startsWith(`${name}/`))
  return {
    inputs: outside,
    outputs: carried.map(([output, local]) => ({ name: own(`last/${output}`), type: typeOf(local) })),
    initializers: [
      ...step.initializers,
      ...numbers,
      { name: own('steps'), value: constantOf('int64', [], BigInt64Array.of(BigInt(steps))) },
      { name: own('true'), value: constantOf('bool', [], Uint8Array.of(1)) },
    ],
    nodes: [
      {
        ...node(
          'Loop',
          [own('steps'), own('true'), ...carried.map(([, local]) => start[local] ?? '')],
          carried.map(([output]) => own(`last/${output}`)),
        ),
        bodies: { body },
      },
    ],
  }
}

/**
 * Parts, one after another, as one model: what no part makes is an input of it, `outputs` of parts (`part/name`; of a loop
 * `part/last/name`) are its own, by their names. Pure.
 */
export const inOne = (parts: readonly (Part | LoopPart)[], outputs: Readonly<Record<string, string>>): Model => {
  const models = parts.map((p) => ('steps' in p ? looped(p) : within(p.name, p.model, p.inputs ?? {})))
  const made = new Set(models.flatMap((m) => m.outputs.map(({ name }) => name)))
  const types = new Map(models.flatMap((m) => m.outputs.map(({ name, type }) => [name, type] as const)))
  const inputs = new Map(
    models.flatMap((m) => m.inputs.flatMap((x) => (made.has(x.name) ? [] : [[x.name, x] as const]))),
  )
  return {
    inputs: [...inputs.values()],
    outputs: Object.entries(outputs).map(([name, from]) => {
      const type = types.get(from)
      if (type === undefined) throw new Error(`no part makes ${from}`)
      return { name, type }
    }),
    initializers: models.flatMap((m) => m.initializers),
    nodes: [
      ...models.flatMap((m) => m.nodes),
      ...Object.entries(outputs).map(([name, from]) => node('Identity', [from], [name])),
    ],
  }
}

/** Arrays of fewer numbers are not worth a node. */
const manyNumbers = 256
const halved = (value: Initializer['value']): Constant | undefined => {
  if (value.kind === 'filed' || !(value.data instanceof Float32Array) || value.data.length < manyNumbers)
    return undefined
  const bits = Uint16Array.from(value.data, halfBits)
  return bits.some((b) => (b & 0x7c00) === 0x7c00) ? undefined : constantOf('float16', value.shape, bits)
}
/**
 * Weights in 16 bits, which a node each brings back to 32: half the file, and sums as before. Arrays with numbers that 16 bits cannot hold
 * stay as they are. Pure.
 */
export const inHalf = (model: Model): Model => {
  const parts = model.initializers.map((i) => ({ i, half: halved(i.value) }))
  return {
    ...model,
    initializers: parts.map(({ i, half }) => (half === undefined ? i : { name: `half/${i.name}`, value: half })),
    nodes: [
      ...parts.flatMap(({ i: { name }, half }) =>
        half === undefined
          ? []
          : [{ ...node('Cast', [`half/${name}`], [name]), attributes: { to: int(elementCode.float32) } }],
      ),
      ...model.nodes,
    ],
  }
}

const number = (x: number) => scalar('float32', x)

/** Pixels in [-1, 1], of one picture [1, C, H, W], as bytes [H, W, C]. */
export const pictureModel = (shape: Shape): Model => {
  const [, channels = 3, height = 1, width = 1] = shape
  const levels = call('Mul', [call('Add', [leaf('pixels'), number(1)]), number(127.5)])
  const rounded = call('Floor', [call('Add', [call('Clip', [levels, number(0), number(255)]), number(0.5)])])
  return assemble(
    [{ name: 'pixels', type: { dtype: 'float32', shape } }],
    [
      {
        name: 'picture',
        type: { dtype: 'uint8', shape: [height, width, channels] },
        value: transpose(reshape(cast(rounded, 'uint8'), [channels, height, width]), [1, 2, 0]),
      },
    ],
  )
}

/** Latents as the first stage has them, of those that were multiplied. */
export const unscaled = (shape: Shape, scale: number): Model => {
  const type: ModelType = { dtype: 'float32', shape }
  return assemble([{ name: 'x', type }], [{ name: 'latents', type, value: call('Div', [leaf('x'), number(scale)]) }])
}
