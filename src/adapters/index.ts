export {
  type AdaptOptions,
  adapterFeeds,
  adapterLeaf,
  adapting,
  type Change,
  type Changes,
  type LowRank,
  type LowRanks,
  merged,
  type Named,
  scaled,
  withAdapters,
} from './low-rank.ts'
export { type Network, textNetwork, unetNetwork } from './networks.ts'
export { type Adapter, adapterOf, readAdapter } from './read.ts'
export { type AdapterFile, type AdapterFormat, adapterFile, adapterFormats, writeAdapter } from './write.ts'
