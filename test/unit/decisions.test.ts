import { describe, expect, test } from 'vitest'
import {
  abs,
  add,
  clamp,
  constant,
  decodeGraph,
  E,
  encodeGraph,
  float,
  freeze,
  grad,
  input,
  matmul,
  maximum,
  minimum,
  pipe,
  reduceMax,
  relu,
  sum,
  type Tensor,
  vector,
} from '../../src/index.ts'
import { evaluate, right } from '../arbitrary/run.ts'

const slopes = async (y: Tensor, ...wrt: readonly Tensor[]): Promise<readonly (readonly number[])[]> => {
  const named = Object.fromEntries(grad(pipe(y, sum()), wrt).map((dx, i) => [String(i), dx]))
  const found = await evaluate(named, {})
  return wrt.map((_, i) => Array.from(found[String(i)]?.data ?? []))
}

test('0001: gradients where there is no derivative', async () => {
  const [x, a, b] = [vector([-1, 0, 1]), vector([2, 2, 3]), vector([2, 3, 2])]
  expect(await slopes(relu(x), x)).toEqual([[0, 0, 1]])
  expect(await slopes(abs(x), x)).toEqual([[-1, 0, 1]])
  expect(await slopes(pipe(x, clamp(-1, 0)), x)).toEqual([[1, 1, 0]])
  expect(await slopes(pipe(x, maximum(-1), minimum(0)), x)).toEqual([[0, 0, 0]])
  expect(await slopes(pipe(a, maximum(b)), a, b)).toEqual([
    [0, 0, 1],
    [1, 1, 0],
  ])
  expect(await slopes(pipe(a, minimum(b)), a, b)).toEqual([
    [0, 1, 0],
    [1, 0, 1],
  ])
  const tied = vector([5, 1, 5])
  expect(await slopes(pipe(tied, reduceMax()), tied)).toEqual([[0.5, 0, 0.5]])
})

test.each([Number.NaN, Infinity, -Infinity])('0003: %s is no constant', (value) => {
  expect(freeze({ y: constant([value], float()) })).toMatchObject({ left: [{ tag: 'shape' }] })
})

describe('0004: shape faults', () => {
  const [x, y, z] = [input('x', float(2, 3)), input('y', float(4)), input('z', float(5, 5))]
  test('all root causes are told, and nothing that only inherits one', () => {
    const broken = pipe(pipe(x, add(y)), add(pipe(x, matmul(z))), relu, sum())
    expect(freeze({ broken })).toMatchObject({ left: [{ at: '(root) (add)' }, { at: '(root) (matmul)' }] })
  })
  test('what is frozen is data', () => {
    const graph = right(freeze({ y: pipe(x, relu) }))
    const copied: unknown = JSON.parse(JSON.stringify(encodeGraph(graph)))
    expect(decodeGraph(copied)).toEqual(E.right(graph))
  })
})
