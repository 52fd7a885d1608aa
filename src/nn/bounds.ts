import { integer, list, number } from '../schema.ts'

/** The numbers that networks are declared by: beyond these bounds no machine could hold the network, or it could not be drawn up. */

/** Channels, groups of channels, heads, classes, widths of contexts. */
export const width = integer({ min: 1, max: 65536 })
/** Pixels of a side. */
export const side = integer({ min: 1, max: 8192 })
/** Blocks a level, layers in a row. */
export const depth = integer({ min: 1, max: 32 })
/** Entries of a codebook. */
export const entries = integer({ min: 1, max: 2 ** 20 })

export const depthOrNone = integer({ min: 0, max: 32 })

export const mostLevels = 10
/** Channels of each level, in units of the first's. */
export const multipliers = list(integer({ min: 1, max: 64 }), { min: 1, max: mostLevels })
/** Levels of the network, by their size or factor. */
export const places = list(side, { max: mostLevels })

/** The share of activations that is dropped; of what is left all are multiplied by 1 / (1 - rate). */
export const dropoutRate = number({ min: 0, max: 0.999 })
