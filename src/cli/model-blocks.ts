import type { OpKind } from '../graph/ops.ts'
import { type Shape, size } from '../graph/types.ts'
import type { NamedShape } from './blocks.ts'
import { inputEnd, type Layer, type Layers, outputEnd } from './model-layers.ts'

/** Layers as a tree, folded by the dots in their names. */

export interface ModelBlock {
  /** The whole name, of the section for the whole of it. */
  readonly name: string
  /** What of the name the blocks around it do not say. */
  readonly label: string
  readonly parameters: number
  readonly flops: number
  /** Of what leaves it. */
  readonly shape: Shape
  readonly weights: readonly NamedShape[]
  /** What is in it, in words: `2 convolutions, 1 attention`. */
  readonly holds: string
  readonly attends: boolean
  readonly layers: readonly string[]
  readonly children: readonly ModelBlock[]
}

const counted: readonly (readonly [ops: readonly OpKind[], one: string, many: string])[] = [
  [['conv2d', 'convInputGrad'], 'convolution', 'convolutions'],
  [['softmax'], 'attention', 'attentions'],
  [['gather'], 'table', 'tables'],
  [['groupNorm', 'standardize'], 'norm', 'norms'],
  [['upsampleNearest'], 'upsampling', 'upsamplings'],
]
const saysOps = (layers: readonly Layer[]): string => {
  const all = layers.flatMap(({ ops }) => ops)
  const linear = layers.filter(({ ops, parameters }) => ops.includes('matmul') && parameters.length > 0).length
  const says = (n: number, one: string, many: string): readonly string[] =>
    n === 0 ? [] : [`${n} ${n === 1 ? one : many}`]
  return [
    ...counted.flatMap(([ops, one, many]) => says(all.filter((op) => ops.includes(op)).length, one, many)),
    ...says(linear, 'linear', 'linear'),
  ].join(', ')
}

const isNumber = (segment: string): boolean => /^\d+$/.test(segment)
/**
 * Of a layer's name in a block, what names the block that it is in: `down.0` of `down.0.block`, where numbers count blocks, but
 * `time_embed` of `time_embed.0` and `time_embed.2`, where they count layers.
 */
const headsIn = (from: string, layers: readonly Layer[]): ((name: string) => string) => {
  const segments = (name: string): readonly string[] => (from === '' ? name : name.slice(from.length + 1)).split('.')
  const counting = new Set(
    layers.flatMap(({ name }) => {
      const [first = '', second = '', third] = segments(name)
      return third !== undefined && isNumber(second) && !isNumber(first) ? [first] : []
    }),
  )
  return (name) => {
    const [first = '', second] = segments(name)
    return second !== undefined && counting.has(first) ? `${first}.${second}` : first
  }
}
const isIn = (name: string, block: string): boolean => block === '' || name.startsWith(`${block}.`)

const blockOf = (name: string, label: string, layers: readonly Layer[]): ModelBlock => {
  const weights = layers.flatMap(({ parameters }) => parameters)
  const inner = layers.filter((l) => isIn(l.name, name))
  const heads = [...new Set(inner.map((l) => headsIn(name, inner)(l.name)))]
  const [only] = heads
  const inside = (head: string): string => (name === '' ? head : `${name}.${head}`)
  const within = (head: string): readonly Layer[] =>
    layers.filter((l) => l.name === inside(head) || isIn(l.name, inside(head)))
  if (only !== undefined && heads.length === 1 && within(only).length === layers.length && label !== '')
    return blockOf(inside(only), `${label}.${only}`, layers)
  return {
    name,
    label,
    parameters: [...new Map(weights.map((w) => [w.name, w])).values()].reduce((n, { shape }) => n + size(shape), 0),
    flops: layers.reduce((n, l) => n + l.flops, 0),
    shape: layers.at(-1)?.shape ?? [],
    weights: heads.length === 0 ? weights : [],
    holds: saysOps(layers),
    attends: layers.some(({ ops }) => ops.includes('softmax')),
    layers: layers.map((l) => l.name),
    children: heads.length === 0 ? [] : heads.map((head) => blockOf(inside(head), head, within(head))),
  }
}
/** All layers as one block, folded. */
export const treeOf = ({ layers }: Layers): ModelBlock => blockOf('', '', layers)

const fewest = 7
const most = 44
/** The blocks at a depth: those that have no blocks in them stay. */
const unfolded = (blocks: readonly ModelBlock[]): readonly ModelBlock[] =>
  blocks.flatMap((b) => (b.children.length === 0 ? [b] : b.children))

/** Blocks that show a network at a glance: unfolded as far as there are enough to tell its form, and not too many to see. */
export const atAGlance = (blocks: readonly ModelBlock[]): readonly ModelBlock[] => {
  const next = unfolded(blocks)
  return blocks.length < fewest && next.length > blocks.length && next.length <= most ? atAGlance(next) : blocks
}

/** A block of a picture, or an end. */
export interface Station {
  readonly id: string
  readonly kind: 'input' | 'block' | 'output'
  readonly label: string
  readonly shape: Shape
  readonly block?: ModelBlock
}
export interface Link {
  readonly from: number
  readonly to: number
}
/** What is drawn of a network. */
export interface Glance {
  /** In the order in which they are done. */
  readonly stations: readonly Station[]
  /** Who reads whom, by places in `stations`; without those that nearly all read. */
  readonly links: readonly Link[]
  /** Places of what many blocks are told, such as the time, each with its readers. */
  readonly told: readonly { readonly from: number; readonly to: readonly number[] }[]
}
/** What more blocks than these read is drawn as a mark on them. */
const manyReaders: { readonly [K in Station['kind']]: number } = { input: 2, block: 5, output: 5 }

/** A network at a glance: the blocks in the order in which they are done, each end beside what reads or makes it. */
export const glance = (of: Layers): Glance => {
  const blocks = atAGlance(treeOf(of).children).toSorted((a, b) => doneAt(of, a) - doneAt(of, b))
  const blockAt = new Map(blocks.flatMap(({ layers }, i) => layers.map((layer) => [layer, i] as const)))
  const first = (id: string): number =>
    Math.min(...of.reads.flatMap(({ from, to }) => (from === id ? [blockAt.get(to) ?? blocks.length] : [])))
  const last = (id: string): number =>
    Math.max(...of.reads.flatMap(({ from, to }) => (to === id ? [blockAt.get(from) ?? -1] : [])))
  const ends: readonly (readonly [at: number, station: Station])[] = [
    ...of.inputs.map(({ name, shape }): readonly [number, Station] => {
      const id = inputEnd(name)
      return [first(id) - 0.5, { id, kind: 'input', label: name, shape }]
    }),
    ...of.outputs.map(({ name, shape }): readonly [number, Station] => {
      const id = outputEnd(name)
      return [last(id) + 0.25, { id, kind: 'output', label: name, shape }]
    }),
  ]
  const stations: readonly Station[] = [
    ...ends,
    ...blocks.map((block, i): readonly [number, Station] => [
      i,
      { id: block.name, kind: 'block', label: block.name, shape: block.shape, block },
    ]),
  ]
    .toSorted(([a], [b]) => a - b)
    .map(([, station]) => station)
  const places = new Map(
    stations.flatMap(({ id, block }, i) => (block?.layers ?? [id]).map((layer) => [layer, i] as const)),
  )
  const readers = new Map<number, Set<number>>()
  for (const { from, to } of of.reads) {
    const [a, b] = [places.get(from), places.get(to)]
    if (a !== undefined && b !== undefined && a !== b) readers.set(a, (readers.get(a) ?? new Set()).add(b))
  }
  const isTold = ([from, to]: readonly [number, ReadonlySet<number>]): boolean =>
    to.size > manyReaders[stations[from]?.kind ?? 'block']
  return {
    stations,
    links: [...readers].filter((r) => !isTold(r)).flatMap(([from, to]) => [...to].map((b) => ({ from, to: b }))),
    told: [...readers].filter(isTold).map(([from, to]) => ({ from, to: [...to].toSorted((a, b) => a - b) })),
  }
}
const doneAt = ({ layers }: Layers, { layers: own }: ModelBlock): number =>
  layers.findLastIndex(({ name }) => name === own.at(-1))
