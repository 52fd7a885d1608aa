import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { type Costs, measured, measuredOfAvx512 } from '../../src/execute/onednn/costs.ts'
import { decisions, undecided } from '../../src/execute/onednn/decide.ts'
import { halfPrecisions } from '../../src/execute/onednn/half.ts'
import { through } from '../../src/execute/passes.ts'
import { type DType, float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { paperLibrary } from '../arbitrary/paper-onednn.ts'
import { graphOf } from './onnx-support.ts'

const window = { stride: [1, 1], padding: [1, 1, 1, 1] } as const
/** Which of a layer's three convolutions are made by minimal filtering; n pictures of side x side, from c to o channels. */
const madeSo = (
  costs: Costs,
  [n, c, o, side]: readonly [number, number, number, number],
  { dtype, isa }: { readonly dtype: DType; readonly isa: number } = { dtype: 'float32', isa: paperLibrary().isa },
): string => {
  const array = (name: string, ...shape: readonly number[]) => D.input(name, { dtype, shape })
  const [x, dy] = [array('x', n, c, side, side), array('dy', n, o, side, side)]
  // Gradients are of float32 alone.
  const wide = dtype === 'float32' ? (t: D.Tensor) => t : D.cast('float32')
  const weight = array('weight', o, c, 3, 3)
  const graph = graphOf({
    y: pipe(x, D.conv2d(weight, window)),
    dx: pipe(wide(dy), D.convInputGrad(wide(weight), [side, side], window)),
    dw: pipe(wide(dy), D.convWeightGrad(wide(x), [3, 3], window)),
  })
  const { minimal } = through(decisions(costs))(undecided(graph, halfPrecisions({ isa }, costs)))
  return Object.entries(graph.outputs)
    .flatMap(([name, index]) => (minimal.has(index) ? [name] : []))
    .join(' ')
}

/** Four tiles lie in 4x4 places. */
describe('minimal filtering on onednn', () => {
  test.each([
    ['many tiles, from 32 channels on; gradients of weights from 16', [4, 32, 32, 8], 'y dx dw'],
    ['few channels on one side', [4, 31, 64, 8], 'dw'],
    ['16 channels', [4, 16, 16, 8], 'dw'],
    ['15 channels', [4, 15, 16, 8], ''],
    ['half as many tiles, from 64 channels on', [2, 64, 64, 8], 'y dx dw'],
    ['of which one side is wider', [2, 64, 128, 8], 'y dx dw'],
    ['weights too many to transform for so few tiles', [2, 64, 129, 8], 'dx dw'],
    ['and not for more', [4, 64, 129, 8], 'y dx dw'],
    ['half as many tiles, of fewer channels', [2, 63, 64, 8], ''],
    ['fewer tiles', [31, 64, 64, 2], ''],
  ] as const)('%s', (_, layer, expected) => expect(madeSo(measured, layer)).toBe(expected))
  test.each([
    ['from 64 channels on', [4, 64, 64, 8], 'y dx dw'],
    ['fewer: gradients of weights alone', [4, 63, 64, 8], 'dw'],
    ['down to 32', [4, 31, 64, 8], ''],
    ['with 64 on the other side', [4, 32, 63, 8], ''],
    ['half as many tiles', [2, 64, 128, 8], 'y dw'],
    ['half as many of fewer channels', [2, 63, 128, 8], ''],
    ['half as many of more', [2, 64, 129, 8], 'dw'],
    ['a quarter, of fewer than 256 channels', [4, 255, 256, 4], ''],
    ['a quarter, of 256', [4, 256, 256, 4], 'dx dw'],
    ['fewer', [3, 256, 256, 4], ''],
  ] as const)('with AVX-512: %s', (_, layer, expected) => expect(madeSo(measuredOfAvx512, layer)).toBe(expected))
  const matrixUnits = 0xfef
  test.each([
    ['whose products gain more than minimal filtering', 'bfloat16', 2.3, ''],
    ['whose products gain less', 'bfloat16', 2.2, 'y dx dw'],
    ['that has no products of its own', 'float16', 7.5, 'y dx dw'],
  ] as const)('in half precision: one %s', (_, dtype, gain, expected) => {
    const costs = { ...measured, half: { ...measured.half, matrixUnits: gain } }
    expect(madeSo(costs, [4, 64, 64, 8], { dtype, isa: matrixUnits })).toBe(expected)
  })
  test('bfloat16 by matrix units as they were measured', () => {
    expect(madeSo(measured, [4, 64, 64, 8], { dtype: 'bfloat16', isa: matrixUnits })).toBe('')
  })
})

describe('sums on onednn', () => {
  const shape = [4, 64, 8, 8]
  const [x, residual, weight] = [
    D.input('x', float(...shape)),
    D.input('residual', float(...shape)),
    D.input('weight', float(64, 64, 3, 3)),
  ]
  const convolved = D.conv2d(weight, window)(x)
  /** How many are made by the convolution before them. */
  const joined = (outputs: Readonly<Record<string, D.Tensor>>): number =>
    through(decisions(measured))(undecided(graphOf(outputs), halfPrecisions(paperLibrary(), measured))).joined.size
  const y = pipe(convolved, D.add(residual))
  const narrow = D.input('narrow', float(8, 64, 3, 3))
  const back = D.input('back', float(4, 8, 8, 8))
  test.each([
    ['with a residual', { y }, 1],
    ['with two, of which the last is made', { y: pipe(y, D.add(x)) }, 1],
    ['of a gradient by minimal filtering', { y: pipe(x, D.convInputGrad(weight, [8, 8], window), D.add(residual)) }, 1],
    ['not of another gradient', { y: pipe(back, D.convInputGrad(narrow, [8, 8], window), D.add(residual)) }, 0],
    ['not of what is read once more', { y, also: pipe(convolved, D.neg) }, 0],
    ['nor of what is given back', { y, convolved }, 0],
    ['with what is spread, too', { y: pipe(convolved, D.add(D.input('one', float(1, 64, 1, 1)))) }, 1],
    ['nor where the convolution is spread', { y: pipe(convolved, D.add(D.input('more', float(2, 4, 64, 8, 8)))) }, 0],
  ] as const)('are made by convolutions: %s', (_, outputs, expected) => expect(joined(outputs)).toBe(expected))
})
