import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { neg, thaw } from '../../src/declare/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { decodeGraph, encodeGraph } from '../../src/graph/codec.ts'
import { type Graph, outputTypes } from '../../src/graph/graph.ts'
import { contentHash } from '../../src/graph/hash.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { size } from '../../src/graph/types.ts'
import { caseOf, frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { right, runOn } from '../arbitrary/run.ts'

const run = runOn(reference)
const json = (g: Graph): unknown => JSON.parse(JSON.stringify(encodeGraph(g)))

const decodesToItself = (g: Graph): void => {
  const decoded = right(decodeGraph(json(g)))
  expect(decoded).toEqual(g)
  expect(contentHash(decoded)).toBe(contentHash(g))
}

describe.each(opKinds)('%s', (op) => {
  test('the result has the type that the shape rule says', () =>
    check(
      fc.asyncProperty(caseOf(op), async ({ graph, feeds }) => {
        const { y } = await run(graph, feeds)
        const type = outputTypes(graph).y
        expect({ dtype: y?.dtype, shape: y?.shape }).toEqual(type)
        expect(y?.data.length).toBe(size(type?.shape ?? []))
        expect(y?.data.every(Number.isFinite)).toBe(true)
      }),
    ))
  test('decode after encode is the identity', () =>
    check(fc.asyncProperty(caseOf(op), async ({ graph }) => decodesToItself(graph))))
})

describe('generated graphs', () => {
  test('results have the types that the shape rules say', () =>
    check(
      fc.asyncProperty(arbitraryGraph({ steps: 9 }), async ({ graph, feeds }) => {
        const results = await run(graph, feeds)
        for (const [name, type] of Object.entries(outputTypes(graph))) {
          expect({ dtype: results[name]?.dtype, shape: results[name]?.shape }).toEqual(type)
          expect(results[name]?.data.length).toBe(size(type.shape))
          expect(results[name]?.data.every(Number.isFinite)).toBe(true)
        }
      }),
      300,
    ))
  test('freeze after thaw is the identity', () =>
    check(
      fc.asyncProperty(arbitraryGraph(), async ({ graph }) => {
        expect(frozen(thaw(graph))).toEqual(graph)
      }),
      100,
    ))
  test('decode after encode is the identity', () =>
    check(
      fc.asyncProperty(arbitraryGraph(), async ({ graph }) => decodesToItself(graph)),
      100,
    ))
  test('the hash ignores the order of declaration, scopes and unused nodes', () =>
    check(
      fc.asyncProperty(arbitraryGraph(), async ({ graph, outputs }) => {
        const backwards = frozen(Object.fromEntries(Object.entries(outputs).toReversed()))
        expect(contentHash(backwards)).toBe(contentHash(graph))
        const scoped = graph.nodes.map((n) => ({ ...n, scope: 'elsewhere' }))
        expect(contentHash({ ...graph, nodes: [...scoped, ...scoped.slice(0, 1)] })).toBe(contentHash(graph))
      }),
    ))
  test('the hash tells different graphs apart', () =>
    check(
      fc.asyncProperty(arbitraryGraph({ ops: ['add', 'exp', 'conv2d'] }), async ({ graph, outputs }) => {
        const negated = Object.fromEntries(Object.entries(outputs).map(([name, y]) => [name, neg(y)]))
        const renamed = Object.fromEntries(Object.entries(outputs).map(([name, y]) => [`${name}'`, y]))
        expect(new Set([graph, frozen(negated), frozen(renamed)].map(contentHash)).size).toBe(3)
      }),
    ))
})
