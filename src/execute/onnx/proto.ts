import protobuf from 'protobufjs/light.js'
import { reasonOf } from '../../error.ts'
import type { Shape } from '../../graph/types.ts'
import { E, type Either, pipe, t } from '../../prelude.ts'
import { type Location, nothingOutside, type Outside } from './outside.ts'
import {
  type Attribute,
  type Constant,
  type Domain,
  type ElementType,
  elementCode,
  type Filed,
  type Initializer,
} from './value.ts'

/** The part of onnx.proto (ONNX 1.17) that a model written here needs: field numbers and types. */
const schema = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        irVersion: { id: 1, type: 'int64' },
        producerName: { id: 2, type: 'string' },
        docString: { id: 6, type: 'string' },
        graph: { id: 7, type: 'GraphProto' },
        opsetImport: { id: 8, type: 'OperatorSetIdProto', rule: 'repeated' },
      },
    },
    OperatorSetIdProto: { fields: { domain: { id: 1, type: 'string' }, version: { id: 2, type: 'int64' } } },
    GraphProto: {
      fields: {
        node: { id: 1, type: 'NodeProto', rule: 'repeated' },
        name: { id: 2, type: 'string' },
        initializer: { id: 5, type: 'TensorProto', rule: 'repeated' },
        input: { id: 11, type: 'ValueInfoProto', rule: 'repeated' },
        output: { id: 12, type: 'ValueInfoProto', rule: 'repeated' },
        valueInfo: { id: 13, type: 'ValueInfoProto', rule: 'repeated' },
      },
    },
    NodeProto: {
      fields: {
        input: { id: 1, type: 'string', rule: 'repeated' },
        output: { id: 2, type: 'string', rule: 'repeated' },
        name: { id: 3, type: 'string' },
        opType: { id: 4, type: 'string' },
        attribute: { id: 5, type: 'AttributeProto', rule: 'repeated' },
        domain: { id: 7, type: 'string' },
      },
    },
    AttributeProto: {
      fields: {
        name: { id: 1, type: 'string' },
        f: { id: 2, type: 'float' },
        i: { id: 3, type: 'int64' },
        s: { id: 4, type: 'bytes' },
        g: { id: 6, type: 'GraphProto' },
        ints: { id: 8, type: 'int64', rule: 'repeated' },
        type: { id: 20, type: 'int32' },
      },
    },
    TensorProto: {
      fields: {
        dims: { id: 1, type: 'int64', rule: 'repeated' },
        dataType: { id: 2, type: 'int32' },
        name: { id: 8, type: 'string' },
        rawData: { id: 9, type: 'bytes' },
        externalData: { id: 13, type: 'StringStringEntryProto', rule: 'repeated' },
        dataLocation: { id: 14, type: 'int32' },
      },
    },
    StringStringEntryProto: { fields: { key: { id: 1, type: 'string' }, value: { id: 2, type: 'string' } } },
    ValueInfoProto: { fields: { name: { id: 1, type: 'string' }, type: { id: 2, type: 'TypeProto' } } },
    TypeProto: {
      fields: { tensorType: { id: 1, type: 'TensorTypeProto' } },
    },
    TensorTypeProto: {
      fields: { elemType: { id: 1, type: 'int32' }, shape: { id: 2, type: 'TensorShapeProto' } },
    },
    TensorShapeProto: { fields: { dim: { id: 1, type: 'DimensionProto', rule: 'repeated' } } },
    DimensionProto: { fields: { dimValue: { id: 1, type: 'int64' } } },
  },
})
const modelProto = schema.lookupType('ModelProto')

/** ONNX 1.16: opset 21; the contrib ops are version 1. */
const irVersion = 10
const opsets: readonly { readonly domain: Domain; readonly version: number }[] = [
  { domain: '', version: 21 },
  { domain: 'com.microsoft', version: 1 },
  { domain: 'com.microsoft.nchwc', version: 1 },
]

/** The type of an array of a model, which may have elements that graphs have none of. */
export interface ModelType {
  readonly dtype: ElementType
  readonly shape: Shape
}
export interface NamedType {
  readonly name: string
  readonly type: ModelType
}
export interface ModelNode {
  readonly op: string
  readonly domain: Domain
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Graphs that the node runs, by its attributes; they may read what stands before it. */
  readonly bodies?: Readonly<Record<string, Model>>
}
export interface OutputType {
  readonly name: string
  /** The runtime infers what is left out. */
  readonly type?: ModelType
  /** The shape in which it is read, where it is made in that of `type`. */
  readonly readAs?: Shape
}
/** What an ONNX model file says. Nodes stand after those whose results they read. */
export interface Model {
  readonly inputs: readonly NamedType[]
  readonly outputs: readonly OutputType[]
  readonly initializers: readonly Initializer[]
  readonly nodes: readonly ModelNode[]
}

export const nodeName = (op: string, index: number): string => `${index}:${op}`

const external = 1
const elsewhere = (place: Location): object => ({
  dataLocation: external,
  externalData: Object.entries(place).map(([key, value]) => ({ key, value: String(value) })),
})
const inside = (value: Constant | Filed): object => {
  if (value.kind === 'filed') throw new Error(`numbers of ${value.path} in a model`)
  return { rawData: new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength) }
}
const tensorProto = (value: Constant | Filed, name: string, place: Location | undefined): object => ({
  dims: value.shape,
  dataType: elementCode[value.element],
  name,
  ...(place === undefined ? inside(value) : elsewhere(place)),
})
const attributeProto = (name: string, value: Attribute): object =>
  'int' in value
    ? { name, type: 2, i: value.int }
    : 'ints' in value
      ? { name, type: 7, ints: value.ints }
      : 'float' in value
        ? { name, type: 1, f: value.float }
        : { name, type: 3, s: new TextEncoder().encode(value.text) }
const typeProto = ({ dtype, shape }: ModelType): object => ({
  tensorType: { elemType: elementCode[dtype], shape: { dim: shape.map((dimValue) => ({ dimValue })) } },
})
const valueInfo = ({ name, type }: OutputType): object =>
  type === undefined ? { name } : { name, type: typeProto(type) }
const unsized = (name: string, element: Constant['element']): object => ({
  name,
  type: { tensorType: { elemType: elementCode[element] } },
})

/** Whether the runtime is told the shapes of what it is fed, and that sizes and axes never change. */
export type Shapes = 'told' | 'untold'
const inputProtos: { readonly [S in Shapes]: (model: Model) => readonly object[] } = {
  told: ({ inputs }) => inputs.map(valueInfo),
  untold: ({ inputs, initializers }) => [
    ...inputs.map(({ name, type }) => unsized(name, type.dtype)),
    ...initializers.flatMap(({ name, value }) => (value.element === 'int64' ? [unsized(name, 'int64')] : [])),
  ],
}

const graphProto = (model: Model, shapes: Shapes, { locations }: Pick<Outside, 'locations'>): object => ({
  name: 'graph',
  node: model.nodes.map(({ op, domain, attributes, inputs: from, outputs: to, bodies = {} }, i) => ({
    name: nodeName(op, i),
    opType: op,
    domain,
    input: from,
    output: to,
    attribute: [
      ...Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
      ...Object.entries(bodies).map(([name, body]) => ({ name, type: 5, g: graphProto(body, shapes, { locations }) })),
    ],
  })),
  initializer: model.initializers.map(({ name, value }) => tensorProto(value, name, locations.get(name))),
  input: inputProtos[shapes](model),
  output: model.outputs.map(valueInfo),
})

/**
 * The bytes of an ONNX ModelProto; the same model gives the same bytes. A runtime that is not told shapes cannot infer them, and so plans no
 * buffer for several arrays, which it would keep from the first of them to the last: each is freed at its last use.
 */
export const encode = (
  model: Model,
  shapes: Shapes = 'told',
  { locations }: Pick<Outside, 'locations'> = nothingOutside,
): Uint8Array =>
  modelProto
    .encode({
      irVersion,
      producerName: 'latentgraph',
      opsetImport: opsets,
      graph: graphProto(model, shapes, { locations }),
    })
    .finish()

/** The same for whoever reads ONNX: standard operators alone, and what is to be known of it. */
export const encodePortable = (
  model: Model,
  docString: string,
  { locations }: Pick<Outside, 'locations'> = nothingOutside,
): Uint8Array =>
  modelProto
    .encode({
      irVersion,
      producerName: 'latentgraph',
      docString,
      opsetImport: opsets.filter(({ domain }) => domain === ''),
      graph: graphProto(model, 'told', { locations }),
    })
    .finish()

/** A node of a model that the runtime wrote. */
export interface WrittenNode {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}
const written = t.type({
  graph: t.type({
    node: t.array(t.type({ opType: t.string, input: t.array(t.string), output: t.array(t.string) })),
  }),
})
/** The nodes of a model that ONNX Runtime wrote, as far as they are needed to see what reads what. */
export const writtenNodes = (bytes: Uint8Array): Either<string, readonly WrittenNode[]> =>
  pipe(
    E.tryCatch(() => modelProto.toObject(modelProto.decode(bytes), { arrays: true, defaults: true }), reasonOf),
    E.chain((u) =>
      pipe(
        written.decode(u),
        E.mapLeft(() => 'a file without nodes'),
      ),
    ),
    E.map(({ graph }) => graph.node.map(({ opType: op, input: inputs, output: outputs }) => ({ op, inputs, outputs }))),
  )

/** Bytes of array data a model carries itself: protobuf allows 2^31 in all. */
export const initializerBytes = ({ initializers }: Model, { locations }: Outside): number =>
  initializers.reduce(
    (n, { name, value }) => n + (value.kind === 'filed' || locations.has(name) ? 0 : value.data.byteLength),
    0,
  )
