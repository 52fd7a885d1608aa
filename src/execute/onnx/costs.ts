/**
 * Where one way to compute a convolution or an attention becomes better than another, as measured on two cores with AVX-512
 * (docs/decisions/0009, 0010, 0015). They choose between ways to compute the same, never what is computed: laws run with others, so that
 * small arrays meet every way.
 */
export interface Costs {
  /** Positions of a result from which on weights that are fed are worth being put into blocks. */
  readonly blockedPositions: number
  /** Channels of x up to which, and positions of x up to which, an input gradient is a transposed convolution. */
  readonly transposed: { readonly channels: number; readonly positions: number }
  /** Minimal filtering of convolutions: channels of the narrower and of the wider side, tiles, numbers of all tiles. */
  readonly tiled: {
    readonly narrow: number
    readonly wide: number
    readonly fewestTiles: number
    readonly written: number
  }
  /** Minimal filtering of weight gradients: channels of the narrower side, tiles' worth of x for one of dy, numbers of all tiles. */
  readonly tiledGradient: { readonly narrow: number; readonly ratio: number; readonly written: number }
  /** Positions beyond which the gradient of a 1x1 weight is one product an item. */
  readonly pointwisePositions: number
  /** Channels up to which a weight's gradient is one product an item, all taps of that side beside each other. */
  readonly fewChannels: number
  /** Numbers up to which all taps of all positions are gathered for one product. */
  readonly gathered: number
  /** Positions, or numbers in the product, from which on a sum over positions is made in two parts, one a thread. */
  readonly halved: { readonly positions: number; readonly product: number }
  /** Scores from which on attention is one op, which has a block of them at a time. */
  readonly scores: number
}

export const measured: Costs = {
  blockedPositions: 128,
  transposed: { channels: 16, positions: 64 },
  tiled: { narrow: 128, wide: 256, fewestTiles: 64, written: 2_400_000 },
  tiledGradient: { narrow: 16, ratio: 16, written: 4_200_000 },
  pointwisePositions: 64,
  fewChannels: 8,
  gathered: 2_400_000,
  halved: { positions: 2048, product: 128 * 128 },
  scores: 4_000_000,
}
