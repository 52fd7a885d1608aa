import { describe, expect, test } from 'vitest'
import {
  add,
  conv2d,
  freeze,
  input,
  matmul,
  mul,
  neg,
  noise,
  parameter,
  reshape,
  type Tensor,
  thaw,
} from '../../src/declare/index.ts'
import type { Errors } from '../../src/error.ts'
import { decodeGraph, encodeGraph } from '../../src/graph/codec.ts'
import { cost } from '../../src/graph/cost.ts'
import { feedTypes, type Graph, inputs, noises, outputTypes, parameters } from '../../src/graph/graph.ts'
import { contentHash } from '../../src/graph/hash.ts'
import { arity, families, isOpKind, opKinds } from '../../src/graph/ops.ts'
import { printGraph } from '../../src/graph/print.ts'
import { broadcastAxes, broadcastShapes, float, int, strides } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'

const frozen = (outputs: Readonly<Record<string, Tensor>>): Graph => {
  const g = freeze(outputs)
  if (E.isLeft(g)) throw new Error(JSON.stringify(g.left))
  return g.right
}
const weight = parameter('fc', 'weight', [4, 3], { kind: 'zeros' })
const x = input('x', float(2, 4))
const graph = frozen({ y: pipe(x, matmul(weight), neg), z: noise('z', [2]) })

describe('leaves', () => {
  test('by kind, and what is to be fed', () => {
    expect(inputs(graph).map((l) => l.name)).toEqual(['x'])
    expect(parameters(graph).map((l) => l.name)).toEqual(['fc.weight'])
    expect(noises(graph).map((l) => l.name)).toEqual(['z'])
    expect(feedTypes(graph)).toEqual({ x: float(2, 4), 'fc.weight': float(4, 3), z: float(2) })
    expect(outputTypes(graph)).toEqual({ y: float(2, 3), z: float(2) })
  })
})

describe('shapes', () => {
  test.each<readonly [readonly number[], readonly number[], readonly number[] | undefined]>([
    [[2, 3], [3], [2, 3]],
    [
      [2, 1],
      [1, 3],
      [2, 3],
    ],
    [[], [2], [2]],
    [[0], [1], [0]],
    [[1], [0], [0]],
    [[2], [3], undefined],
    [[0], [2], undefined],
  ])('%j and %j broadcast to %j', (a, b, both) => {
    expect(broadcastShapes(a, b)).toEqual(both)
    expect(broadcastShapes(b, a)).toEqual(both)
  })
  test('repeated axes', () => {
    expect(broadcastAxes([3], [2, 3])).toEqual([0])
    expect(broadcastAxes([2, 1], [4, 2, 3])).toEqual([0, 2])
    expect(broadcastAxes([1], [1])).toEqual([])
  })
  test('strides', () => expect(strides([2, 3, 4])).toEqual([12, 4, 1]))
})

test('ops are known by name, and not what objects inherit', () => {
  expect(opKinds.every(isOpKind)).toBe(true)
  expect(isOpKind('constructor')).toBe(false)
  expect(Object.keys(arity).toSorted()).toEqual(opKinds.toSorted())
})

describe('codec', () => {
  interface Document {
    nodes: Record<string, unknown>[]
    outputs: Record<string, unknown>
  }
  const document = (): Document => JSON.parse(JSON.stringify(encodeGraph(graph)))
  const refused = (change: (d: Document) => void): Errors => {
    const d = document()
    change(d)
    const decoded = decodeGraph(d)
    if (E.isRight(decoded)) throw new Error('accepted')
    return decoded.left
  }
  const change = (i: number, fields: Record<string, unknown>) => (d: Document) => {
    Object.assign(d.nodes[i] ?? {}, fields)
  }

  test('as it was', () => expect(decodeGraph(document())).toEqual(E.right(graph)))
  test.each<readonly [string, (d: Document) => void, string]>([
    ['an unknown key of a node', change(0, { note: 'n' }), '/nodes/0/note'],
    ['an unknown attribute', change(3, { attributes: { axis: 1 } }), '/nodes/3/attributes/axis'],
    ['a missing attribute', change(2, { attributes: { transposeA: true } }), '/nodes/2/attributes/transposeB'],
    ['an unknown op', change(3, { op: 'negg' }), '/nodes/3/op'],
    ['an op named like an inherited property', change(3, { op: 'toString' }), '/nodes/3/op'],
    ['a reference that dangles', change(3, { operands: [99] }), '/nodes/3/operands'],
    ['a reference forward', change(2, { operands: [0, 3] }), '/nodes/2/operands'],
    ['a reference to itself', change(3, { operands: [3] }), '/nodes/3/operands'],
    ['a type that is not the inferred one', change(3, { type: { dtype: 'float32', shape: [2, 4] } }), '/nodes/3/type'],
    ['too few operands', change(2, { operands: [0] }), '/nodes/2 (matmul)'],
    ['operands that do not fit', change(2, { operands: [1, 0] }), '/nodes/2 (matmul)'],
    ['an output that dangles', (d) => Object.assign(d.outputs, { w: 99 }), '/outputs/w'],
    ['another key of the graph', (d) => Object.assign(d, { version: 1 }), '/version'],
  ])('refuses %s', (_, spoil, at) => {
    const errors = refused(spoil)
    expect(errors.map((e) => e.tag)).toEqual(errors.map(() => 'graph'))
    expect(errors.map((e) => e.at)).toContain(at)
  })
  test('names every fault', () => {
    const errors = refused((d) => {
      change(0, { op: 'inputt' })(d)
      change(3, { operands: [7] })(d)
      d.outputs.y = 12
    })
    expect(errors.map((e) => e.at)).toEqual(['/outputs/y', '/nodes/0/op', '/nodes/3/operands'])
    expect(errors[1]?.hint).toBe('did you mean "input"?')
  })
  test('refuses one name for two leaves', () => {
    const d = document()
    change(1, { op: 'noise', attributes: { name: 'x', shape: [4, 3], distribution: 'normal' }, scope: '' })(d)
    const decoded = decodeGraph(d)
    expect(E.isLeft(decoded) && decoded.left.map((e) => e.at)).toEqual(['/nodes/1/attributes/name'])
  })
  test.each([null, [], 'graph', 3, {}, { nodes: {}, outputs: [] }])('refuses %j', (u) => {
    expect(E.isLeft(decodeGraph(u))).toBe(true)
  })
})

describe('hash', () => {
  const of = (y: Tensor): string => contentHash(frozen({ y }))
  test('two leaves of one name are one', () => {
    const again = input('x', float(2, 4))
    expect(of(pipe(x, add(again)))).toBe(of(pipe(x, add(x))))
  })
  test.each<readonly [string, Tensor, Tensor]>([
    ['names', neg(input('x', float())), neg(input('y', float()))],
    ['types', input('x', float()), input('x', int())],
    ['attributes', pipe(x, reshape(8)), pipe(x, reshape(4, 2))],
    ['the order of operands', pipe(x, add(neg(x))), pipe(neg(x), add(x))],
    ['ops', pipe(x, add(x)), pipe(x, mul(x))],
  ])('%s count', (_, a, b) => expect(of(a)).not.toBe(of(b)))
  test('it is 64 hexadecimal digits', () => expect(contentHash(graph)).toMatch(/^[0-9a-f]{64}$/))
})

test('printing', () => {
  expect(printGraph(frozen({ y: pipe(x, matmul(weight), neg) }))).toBe(
    [
      'graph {',
      '  %0 = input() x : float32[2, 4]',
      '  %1 = parameter() fc.weight : float32[4, 3]',
      '  %2 = matmul(%0, %1) transposeA=false transposeB=false : float32[2, 3]  # fc',
      '  %3 = neg(%2) : float32[2, 3]  # fc',
      '  return y: %3',
      '}',
    ].join('\n'),
  )
})

describe('cost', () => {
  test('of a product: a multiply-add counts two', () => {
    expect(cost(frozen({ y: pipe(x, matmul(weight)) }))).toEqual({
      flops: 2 * 2 * 4 * 3,
      traffic: 4 * (8 + 12 + 6 + 8 + 12),
      peakBytes: 4 * (8 + 12 + 6),
      parameters: 12,
      parameterBytes: 48,
    })
  })
  test('of a convolution', () => {
    const w = parameter('c', 'weight', [5, 3, 3, 3], { kind: 'zeros' })
    const y = pipe(input('x', float(2, 3, 8, 8)), conv2d(w, { stride: [2, 2], padding: [1, 1, 1, 1] }))
    expect(cost(frozen({ y })).flops).toBe(2 * (2 * 5 * 4 * 4) * (3 * 3 * 3))
  })
  test('a chain holds two values at a time, a reshape none', () => {
    const chain = Array.from({ length: 10 }).reduce<Tensor>((y) => pipe(y, neg, reshape(8), reshape(2, 4)), x)
    expect(cost(frozen({ y: chain })).peakBytes).toBe(4 * 8 * 3)
  })
  test('a leaf of two nodes is counted once', () => {
    const again = thaw(frozen({ weight })).weight ?? weight
    const { parameters: count, parameterBytes } = cost(frozen({ y: pipe(weight, add(again)) }))
    expect([count, parameterBytes]).toEqual([12, 48])
  })
})

test('every op is in one family', () => {
  expect(Object.values(families).flat().sort()).toEqual([...opKinds].sort())
})
