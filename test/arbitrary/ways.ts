import { type Costs, measured } from '../../src/execute/onnx/costs.ts'

/** What sends arrays of 16 channels and a few positions through every way to compute a convolution. */
const never = Number.POSITIVE_INFINITY
const untiled = {
  tiled: { ...measured.tiled, narrow: never },
  tiledGradient: { ...measured.tiledGradient, narrow: never },
}
const all: Costs = { ...measured, ...untiled, blockedPositions: never, fewChannels: 0, pointwisePositions: 0 }
const costs = {
  'over tiles': {
    ...all,
    tiled: { narrow: 1, wide: 1, fewestTiles: 1, written: never },
    tiledGradient: { narrow: 1, ratio: never, written: never },
  },
  'in blocks, taps gathered': { ...all, blockedPositions: 1, gathered: never },
  'transposed, a row of taps at a time': {
    ...all,
    transposed: { channels: never, positions: never },
    gathered: 0,
    halved: { positions: 1, product: 1 },
  },
  'rotated, taps beside each other': {
    ...all,
    transposed: { channels: 0, positions: 0 },
    fewChannels: 16,
    pointwisePositions: never,
    gathered: 0,
  },
} as const satisfies Readonly<Record<string, Costs>>
/** By name. */
export const ways = Object.entries(costs)
