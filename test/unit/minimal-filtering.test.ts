import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { type Costs, measured, reckonedOfAvx512 } from '../../src/execute/onednn/costs.ts'
import { decisions, undecided } from '../../src/execute/onednn/decide.ts'
import { halfPrecisions } from '../../src/execute/onednn/half.ts'
import { through } from '../../src/execute/passes.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { paperLibrary } from '../arbitrary/paper-onednn.ts'
import { graphOf } from './onnx-support.ts'

const window = { stride: [1, 1], padding: [1, 1, 1, 1] } as const
/** Which of a layer's three convolutions are made by minimal filtering; n pictures of side x side, from c to o channels. */
const madeSo = (costs: Costs, [n, c, o, side]: readonly [number, number, number, number]): string => {
  const [x, dy] = [D.input('x', float(n, c, side, side)), D.input('dy', float(n, o, side, side))]
  const weight = D.input('weight', float(o, c, 3, 3))
  const graph = graphOf({
    y: pipe(x, D.conv2d(weight, window)),
    dx: pipe(dy, D.convInputGrad(weight, [side, side], window)),
    dw: pipe(dy, D.convWeightGrad(x, [3, 3], window)),
  })
  const { minimal } = through(decisions(costs))(undecided(graph, halfPrecisions(paperLibrary(), costs)))
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
    ['wide enough', [4, 256, 256, 8], 'y dx dw'],
    ['narrower', [4, 255, 256, 8], ''],
    ['fewer tiles', [63, 256, 256, 2], ''],
  ] as const)('with AVX-512: %s', (_, layer, expected) => expect(madeSo(reckonedOfAvx512, layer)).toBe(expected))
})
