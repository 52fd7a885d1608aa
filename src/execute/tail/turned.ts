import { leafName, leafOfShape, rebuild, refreeze, rewrite, type Tensor, transpose } from '../../declare/index.ts'
import { feedTypes, type Graph, isNode, type Node, nodeAt } from '../../graph/graph.ts'
import { type Shape, sameShape, size } from '../../graph/types.ts'
import { pipe, RR } from '../../prelude.ts'
import type { Loop, Split } from './split.ts'

type Shapes = Readonly<Record<string, Shape>>
/** The leaves and outputs whose numbers lie as [h, w, C, O], and the shape [O, C, h, w] of the weight that they belong to. */
export interface Turned {
  readonly leaves: Shapes
  readonly outputs: Shapes
}

const isWeightGradient = (n: Node): boolean => isNode('convWeightGrad')(n) && size(n.attributes.kernel) > 1
const readFrom = (loop: Loop, place: 'leaf' | 'body'): readonly string[] =>
  loop.arrays.flatMap(({ from, name }) => (from === place ? [name] : []))
/** The gradients that a loop reads. */
const gradientsOf = (body: Graph, loop: Loop): readonly Node[] =>
  readFrom(loop, 'body').map((name) => nodeAt(body, body.outputs[name] ?? -1))

/** Leaves that several loops read: a graph may have several nodes of one leaf. */
const sharedLeaves = (loops: readonly Loop[]): ReadonlySet<string> => {
  const names = loops.flatMap((loop) => [...new Set(readFrom(loop, 'leaf'))])
  return new Set(names.filter((name, i) => names.indexOf(name) !== i))
}
/** Loops that read a gradient and, of the body, nothing of another shape: to these the order of the numbers is all the same. */
const turnedBy = ({ body, loops }: Split) => {
  const [fed, shared] = [feedTypes(body), sharedLeaves(loops)]
  return loops.flatMap((loop) => {
    const gradients = gradientsOf(body, loop)
    const shape = gradients.find(isWeightGradient)?.type.shape
    const leaves = readFrom(loop, 'leaf')
    const inBody = [...gradients.map((n) => n.type), ...leaves.flatMap((name) => fed[name] ?? [])]
    const alone = loop.gives.length === 0 && !leaves.some((name) => shared.has(name))
    return shape !== undefined && alone && inBody.every((type) => sameShape(type.shape, shape))
      ? [{ shape, leaves, outputs: loop.outputs.map(({ name }) => name), handed: readFrom(loop, 'body') }]
      : []
  })
}

const turnedShape = ([o = 0, c = 0, h = 0, w = 0]: Shape): Shape => [h, w, c, o]

/**
 * The same split, over weights of convolutions that lie as products leave their gradients, [h, w, C, O]: no step has to turn a
 * gradient. Where the body reads such a weight it turns it back, which lowerings take into account.
 */
export const turnWeights = (split: Split): { readonly split: Split; readonly turned: Turned } => {
  const found = turnedBy(split)
  const shapes = (names: 'leaves' | 'outputs' | 'handed'): Shapes =>
    Object.fromEntries(found.flatMap((f) => f[names].map((name) => [name, f.shape] as const)))
  const turned = { leaves: shapes('leaves'), outputs: shapes('outputs') }
  const handed = shapes('handed')
  const outputs = rewrite(split.body, (n, args) => {
    const x = rebuild(n, args)
    const shape = turned.leaves[leafName(x) ?? '']
    const leaf = shape === undefined ? undefined : leafOfShape(x, turnedShape(shape))
    return leaf === undefined ? x : pipe(leaf, transpose(3, 2, 0, 1))
  })
  const body = pipe(
    outputs,
    RR.mapWithIndex((name, x: Tensor) => (name in handed ? pipe(x, transpose(2, 3, 1, 0)) : x)),
    refreeze,
  )
  return { split: { body, loops: split.loops }, turned }
}

/** Of [a, b, c] the numbers in the order of [c, b, a]. */
const reversed = (a: number, b: number, c: number, from: ArrayLike<number>): Float32Array<ArrayBuffer> => {
  const to = new Float32Array(from.length)
  let next = 0
  for (let k = 0; k < c; k++)
    for (let j = 0; j < b; j++) for (let i = 0; i < a; i++) to[next++] = from[(i * b + j) * c + k] ?? Number.NaN
  return to
}
/** An array as it lies where it is turned, told the shape of its weight, and back; `undefined` where it is not. */
export const turn = (shape: Shape | undefined, from: ArrayLike<number>): ArrayLike<number> => {
  const [o = 0, c = 0, h = 0, w = 0] = shape ?? []
  return shape === undefined ? from : reversed(o, c, h * w, from)
}
export const turnBack = (shape: Shape | undefined, from: Float32Array): Float32Array<ArrayBuffer> => {
  const [o = 0, c = 0, h = 0, w = 0] = shape ?? []
  return shape === undefined ? Float32Array.from(from) : reversed(h * w, c, o, from)
}
