import { type Checked, type Effect, fail } from '../error.ts'
import { type Shape, size } from '../graph/types.ts'
import type { Written } from '../io/atomic.ts'
import { unwritten, writeSafetensors } from '../io/safetensors-writer.ts'
import type { StoredArray } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { metadataKey } from './factors.ts'
import type { LowRank } from './low-rank.ts'
import { moduleOf, type Network } from './networks.ts'
import type { Adapter } from './read.ts'

/** Adapters as the files of diffusers (with peft's names) and of kohya. */

export const adapterFormats = ['diffusers', 'kohya'] as const
/** Whose names a file of an adapter is written in. */
export type AdapterFormat = (typeof adapterFormats)[number]

interface Item {
  readonly network: Network
  readonly parameter: string
  readonly change: LowRank
}
const itemsOf = (adapter: Adapter, networks: readonly Network[]): readonly Item[] =>
  networks.flatMap((network) =>
    Object.entries(adapter[network.component] ?? {}).map(([parameter, change]) => ({ network, parameter, change })),
  )

const floats = (shape: Shape, data: Float32Array): StoredArray => ({ dtype: 'float32', shape, data })
/** down[rank, ...] as the weight has it, up[O, rank] with a window of one where the weight is a convolution's. */
const arraysOf = ({ rank, shape: [out = 1, ...rest], down, up }: LowRank) => ({
  down: floats([rank, ...rest], down),
  up: floats([out, rank, ...rest.slice(1).map(() => 1)], up),
})

/** What most have. */
const commonest = (all: readonly number[]): number => {
  const counts = new Map<number, number>()
  for (const x of all) counts.set(x, (counts.get(x) ?? 0) + 1)
  return [...counts].toSorted(([, m], [, n]) => n - m)[0]?.[0] ?? 0
}
const alphaOf = ({ rank, factor }: LowRank): number => Math.fround(factor * rank)

/** What a file of an adapter holds: its arrays, and the words of its header. */
export interface AdapterFile {
  readonly tensors: Readonly<Record<string, StoredArray>>
  readonly metadata: Readonly<Record<string, string>>
}
type Write = (items: readonly Item[], networks: readonly Network[]) => AdapterFile

const named = (items: readonly Item[]): readonly (Item & { readonly module: string })[] =>
  items.map((item) => ({ ...item, module: moduleOf(item.network.layouts[0](item.parameter)?.key ?? item.parameter) }))

/** As peft's `LoraConfig` has it: what most modules have, and patterns for the others. */
const configOf = (items: readonly (Item & { readonly module: string })[]): readonly (readonly [string, unknown])[] => {
  const [first] = items
  if (first === undefined) return []
  const component = first.network.dotted[0]
  const [rank, alpha] = [
    commonest(items.map(({ change }) => change.rank)),
    commonest(items.map((i) => alphaOf(i.change))),
  ]
  const others = (of: (change: LowRank) => number, usual: number): Readonly<Record<string, number>> =>
    Object.fromEntries(items.flatMap(({ module, change }) => (of(change) === usual ? [] : [[module, of(change)]])))
  const fields = {
    ...{ peft_type: 'LORA', r: rank, lora_alpha: alpha },
    ...{ rank_pattern: others((c) => c.rank, rank), alpha_pattern: others(alphaOf, alpha) },
    ...{ target_modules: items.map(({ module }) => module), bias: 'none', lora_bias: false },
    ...{ use_dora: false, use_rslora: false },
  }
  return Object.entries(fields).map(([key, value]) => [component + key, value])
}

const inDiffusers: Write = (items, networks) => {
  const all = named(items)
  const config = networks.flatMap((network) => configOf(all.filter((item) => item.network === network)))
  return {
    tensors: Object.fromEntries(
      all.flatMap(({ network, module, change }) => {
        const { down, up } = arraysOf(change)
        const key = network.dotted[0] + module
        return [[`${key}.lora_A.weight`, down] as const, [`${key}.lora_B.weight`, up] as const]
      }),
    ),
    metadata: { format: 'pt', [metadataKey]: JSON.stringify(Object.fromEntries(config), null, 2) },
  }
}

/** Models of two text encoders have their U-Net in the original's names, others in those of diffusers. */
const inKohyas: Write = (items, networks) => {
  const two = networks.some(({ component }) => component === 'text.1')
  const key = ({ network, parameter, module }: Item & { readonly module: string }): string => {
    const own = two && network.component === 'unet' ? moduleOf(parameter) : module
    const prefix = (two ? network.flat.find((flat) => /^lora_te\d/.test(flat)) : undefined) ?? network.flat[0]
    return prefix + own.replaceAll('.', '_')
  }
  const changes = items.map(({ change }) => change)
  return {
    tensors: Object.fromEntries(
      named(items).flatMap((item) => {
        const { down, up } = arraysOf(item.change)
        return [
          [`${key(item)}.lora_down.weight`, down] as const,
          [`${key(item)}.lora_up.weight`, up] as const,
          [`${key(item)}.alpha`, floats([], Float32Array.of(alphaOf(item.change)))] as const,
        ]
      }),
    ),
    metadata: {
      format: 'pt',
      ss_network_module: 'networks.lora',
      ss_network_dim: `${commonest(changes.map(({ rank }) => rank))}`,
      ss_network_alpha: `${commonest(changes.map(alphaOf))}`,
    },
  }
}
const writers: { readonly [F in AdapterFormat]: Write } = { diffusers: inDiffusers, kohya: inKohyas }

/** The arrays and texts of an adapter's file. Errors (`file`): what no network has, whose place in a file is not known. */
export const adapterFile = (
  adapter: Adapter,
  networks: readonly Network[],
  as: AdapterFormat,
): Checked<AdapterFile> => {
  const stray = Object.entries(adapter).flatMap(([component, changes]) => {
    const network = networks.find((n) => n.component === component)
    return Object.keys(changes).filter((parameter) => network?.shapes[parameter] === undefined)
  })
  const odd = itemsOf(adapter, networks).find(
    ({ change: { rank, shape, down, up } }) =>
      down.length !== rank * size(shape.slice(1)) || up.length !== rank * (shape[0] ?? 1),
  )
  return stray.length > 0
    ? fail('file', 'adapter', 'changes of the weights of the model', stray.join(', '))
    : odd !== undefined
      ? fail('file', odd.parameter, `up and down of rank ${odd.change.rank}`, 'arrays of other sizes')
      : E.right(writers[as](itemsOf(adapter, networks), networks))
}

/** Writes an adapter's file, whole or not at all. Errors: `file`. */
export const writeAdapter = (
  path: string,
  adapter: Adapter,
  networks: readonly Network[],
  as: AdapterFormat = 'diffusers',
): Effect<Written> =>
  pipe(
    TE.fromEither(adapterFile(adapter, networks, as)),
    TE.flatMap(({ tensors, metadata }) => writeSafetensors(path, unwritten(tensors), metadata)),
  )
