import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  add,
  concat,
  conv2d,
  groupNorm,
  input,
  matmul,
  parameter,
  part,
  refreeze,
  reshape,
  rewrite,
  silu,
  type Tensor,
  upsampleNearest,
} from '../../src/declare/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedName, type Graph, outputTypes } from '../../src/graph/graph.ts'
import { families, type OpKind, opKinds } from '../../src/graph/ops.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { convolveByPhases, optimise, share, shareHalves } from '../../src/transform/index.ts'
import { type Case, caseOf, fedCase, frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { difference, runOn } from '../arbitrary/run.ts'

const run = runOn(reference)
const nodes = (g: Graph, op: OpKind) => g.nodes.filter((n) => n.op === op)

describe('halves that are equal', () => {
  /** Leaves of an even number of items, those that are picked with their first half twice. */
  const doubled = (g: Graph, picks: readonly boolean[]): Graph =>
    refreeze(
      rewrite(g, (n, _, again, i) => {
        const x = again()
        const items = x.shape[0] ?? 1
        if (feedName(n) === undefined || items % 2 === 1 || picks[i % picks.length] === false) return x
        const half = part(x, 0, 0, items / 2)
        return concat(0, half, half)
      }),
    )
  const leaves: ReadonlySet<OpKind> = new Set(families.leaf)
  const ops = fc.constantFrom(...opKinds.filter((op) => !leaves.has(op))).chain(caseOf)
  const cases: fc.Arbitrary<Case> = fc.oneof({ arbitrary: ops, weight: 2 }, arbitraryGraph({ steps: 9 }))
  test('are computed once, to the same numbers, whatever is computed', () =>
    check(
      fc.asyncProperty(cases, fc.array(fc.boolean(), { minLength: 1 }), async ({ graph, feeds }, picks) => {
        const twice = share(doubled(graph, picks))
        const once = shareHalves(twice)
        expect(outputTypes(once)).toEqual(outputTypes(twice))
        expect(difference(await run(once, feeds), await run(twice, feeds), 0)).toBeUndefined()
      }),
      500,
    ))

  const zeros = { kind: 'zeros' } as const
  const weight = (name: string, ...shape: readonly number[]): Tensor => parameter('', name, shape, zeros)
  test('are shared until they differ: attention before a condition, a bias of each item behind', () => {
    const [n, c, t] = [3, 8, 16]
    const [x, condition] = [input('x', float(n, c, 4, 4)), input('condition', float(2 * n, c, 1, 1))]
    const conv = (name: string): ((y: Tensor) => Tensor) =>
      conv2d(weight(name, c, c, 3, 3), { stride: [1, 1], padding: [1, 1, 1, 1] })
    const attended = (y: Tensor): Tensor => {
      const rows = pipe(y, reshape(2 * n, c, t))
      return pipe(rows, matmul(pipe(rows, matmul(rows, { transposeA: true }))), reshape(2 * n, c, 4, 4), add(y))
    }
    const norm = groupNorm(weight('scale', c), weight('shift', c), { groups: 4, eps: 1e-5 })
    const y = pipe(concat(0, x, x), conv('a'), norm, silu, attended, conv('b'), add(condition), conv('c'))
    const once = optimise(frozen({ y }))
    expect(nodes(once, 'conv2d').map(({ type }) => type.shape[0])).toEqual([n, n, 2 * n])
    expect(nodes(once, 'matmul').map(({ type }) => type.shape[0])).toEqual([n, n])
    expect(nodes(once, 'concat').map(({ type }) => type.shape)).toEqual([[2 * n, c, 4, 4]])
  })
  test('and where nothing tells them apart, the parts of the result are one', () => {
    const x = input('x', float(2, 3))
    const y = silu(concat(0, x, x))
    const once = optimise(frozen({ first: part(y, 0, 0, 2), last: part(y, 0, 3, 1), across: part(y, 0, 1, 2) }))
    expect(nodes(once, 'silu').map(({ type }) => type.shape)).toEqual([[2, 3]])
    expect(nodes(once, 'concat').length).toBe(1)
  })
})

describe('convolutions of enlarged maps', () => {
  const edge = fc.integer({ min: 0, max: 3 })
  const pair = (max: number) => fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }))
  interface Geometry {
    readonly channels: readonly [number, number]
    readonly side: readonly [number, number]
    readonly factor: readonly [number, number]
    readonly kernel: readonly [number, number]
    readonly padding: readonly [number, number, number, number]
    readonly bias: 'none' | 'of channels' | 'of items'
  }
  /** Sides of the result. */
  const sidesOf = ({ side, factor, kernel, padding }: Geometry): readonly [number, number] => [
    side[0] * factor[0] + padding[0] + padding[2] - kernel[0] + 1,
    side[1] * factor[1] + padding[1] + padding[3] - kernel[1] + 1,
  ]
  const geometries: fc.Arbitrary<Geometry> = fc
    .record({
      channels: pair(3),
      side: pair(5),
      factor: pair(3),
      kernel: pair(5),
      padding: fc.tuple(edge, edge, edge, edge),
      bias: fc.constantFrom('none', 'of channels', 'of items'),
    })
    .filter((of) => sidesOf(of).every((d) => d > 0))
  const items = 2
  const convolved = ({ channels: [c, o], side, factor, kernel, padding, bias }: Geometry): Tensor => {
    const zeros = { kind: 'zeros' } as const
    const y = pipe(
      input('x', float(items, c, ...side)),
      upsampleNearest(...factor),
      conv2d(parameter('', 'w', [o, c, ...kernel], zeros), { stride: [1, 1], padding }),
    )
    const shape = bias === 'of items' ? [items, o, 1, 1] : [o, 1, 1]
    return bias === 'none' ? y : pipe(y, add(parameter('', 'b', shape, zeros)))
  }
  const always = convolveByPhases(
    () => true,
    () => true,
  )
  const isCut = (of: Geometry): boolean => sidesOf(of).every((d, i) => d % (of.factor[i] ?? 1) === 0)

  test('are convolutions of the small map, a phase each, where all have as many results', () =>
    check(
      fc.asyncProperty(
        geometries.chain((of) => fc.tuple(fc.constant(of), fedCase({ y: convolved(of) }, new Map()))),
        async ([of, { graph, feeds }]) => {
          const phased = always(graph)
          expect(outputTypes(phased)).toEqual(outputTypes(graph))
          expect(difference(await run(phased, feeds), await run(graph, feeds), 1e-12)).toBeUndefined()
          if (isCut(of)) expect(nodes(phased, 'conv2d').length).toBe(of.factor[0] * of.factor[1])
          if (isCut(of)) expect(nodes(phased, 'upsampleNearest')).toEqual([])
          else expect(phased).toEqual(graph)
        },
      ),
      300,
    ))

  const usual: Geometry = {
    channels: [4, 4],
    side: [4, 4],
    factor: [2, 2],
    kernel: [3, 3],
    padding: [1, 1, 1, 1],
    bias: 'of channels',
  }
  test('of 3x3 twice enlarged are four of 2x2, each with its bias', () => {
    const phased = always(frozen({ y: convolved(usual) }))
    const kernels = nodes(phased, 'conv2d').map(({ operands: [, w = 0] }) => phased.nodes[w]?.type.shape)
    expect(kernels).toEqual(Array.from({ length: 4 }, () => [4, 4, 2, 2]))
    const isBias = (i: number): boolean => phased.nodes[i]?.op === 'parameter'
    expect(nodes(phased, 'add').filter(({ operands }) => operands.some(isBias)).length).toBe(4)
  })
  test('are asked for by what they save, and stay where their weight is not known', () => {
    const asked: unknown[] = []
    convolveByPhases(
      () => true,
      (of) => asked.push(of) < 0,
    )(frozen({ y: convolved(usual) }))
    expect(asked).toEqual([{ channels: 4, products: 16 / 36, weights: 144 }])
    const graph = frozen({ y: convolved(usual) })
    const fed = convolveByPhases(
      (leaf) => leaf !== 'w',
      () => true,
    )
    expect(fed(graph)).toEqual(graph)
  })
})
