import type { Shape } from '../graph/types.ts'
import type { Layout, Place } from '../nn/layout.ts'
import { clipBareNames, clipFileNames, openClipNames } from '../nn/text/clip-names.ts'
import type { UNetConfig } from '../nn/unet/config.ts'
import { toTheirs, unetNames } from '../published/diffusers/index.ts'

/** The networks that adapters may change, and the names that files have for their weights. */

export interface Network {
  /** What it is in a model: `unet`, `text.0`. */
  readonly component: string
  /** Of its parameters. */
  readonly shapes: Readonly<Record<string, Shape>>
  /** How files name its arrays; the first is that of diffusers. */
  readonly layouts: readonly [Layout, ...Layout[]]
  /** What names with dots begin with; the first is that of diffusers, which its metadata have too. */
  readonly dotted: readonly [string, ...string[]]
  /** What kohya's names begin with, which have underscores for dots. */
  readonly flat: readonly [string, ...string[]]
}

const original: Layout = (name) => ({ key: name })

/** Written as diffusers, as the original, or as an interface that keeps whole checkpoints has it. */
export const unetNetwork = (config: UNetConfig, shapes: Network['shapes']): Network => ({
  component: 'unet',
  shapes,
  layouts: [toTheirs(unetNames(config)), original],
  dotted: ['unet.', '', 'diffusion_model.', 'model.diffusion_model.', 'base_model.model.'],
  flat: ['lora_unet_', 'lycoris_'],
})

/** The k-th of a model's text encoders: as transformers and as OpenCLIP have it. */
export const textNetwork = (k: number, config: { readonly width: number }, shapes: Network['shapes']): Network => {
  const theirs = k === 0 ? 'text_encoder' : `text_encoder_${k + 1}`
  return {
    component: `text.${k}`,
    shapes,
    layouts: [clipFileNames, clipBareNames, openClipNames(config)],
    dotted: k === 0 ? [`${theirs}.`, 'base_model.model.'] : [`${theirs}.`],
    flat: k === 0 ? ['lora_te_', 'lora_te1_'] : [`lora_te${k + 1}_`],
  }
}

/** A weight as a file's name of a module finds it. */
export interface Located {
  readonly network: Network
  readonly parameter: string
  readonly place: Place
  /** The module's name without what stands before it. */
  readonly module: string
}
/** By the module's name as files write it; several where a file packs what are several weights for us. */
export type Directory = ReadonlyMap<string, readonly Located[]>

/** The module of a weight: its name without the last word. */
export const moduleOf = (key: string): string => key.replace(/[._]weight$/, '')

const entriesOf = (network: Network): readonly (readonly [string, Located])[] => {
  const { shapes, layouts, dotted, flat } = network
  return Object.entries(shapes).flatMap(([parameter, { length }]) =>
    length < 2
      ? []
      : layouts.flatMap((layout) => {
          const place = layout(parameter)
          if (place === undefined) return []
          const module = moduleOf(place.key)
          const located: Located = { network, parameter, place, module }
          return [
            ...dotted.map((prefix) => [prefix + module, located] as const),
            ...flat.map((prefix) => [prefix + module.replaceAll('.', '_'), located] as const),
          ]
        }),
  )
}

/** All modules that an adapter of a model may name. */
export const directoryOf = (networks: readonly Network[]): Directory => {
  const found = new Map<string, Located[]>()
  for (const [name, located] of networks.flatMap(entriesOf)) {
    const known = found.get(name) ?? []
    if (known.some(({ parameter, network }) => parameter === located.parameter && network === located.network)) continue
    known.push(located)
    found.set(name, known)
  }
  return found
}

/** Words that two names have in common at their beginnings and at their ends. */
const alike = (a: readonly string[], b: readonly string[]): number => {
  const most = Math.min(a.length, b.length)
  let front = 0
  while (front < most && a[front] === b[front]) front++
  let back = 0
  while (back < most - front && a[a.length - 1 - back] === b[b.length - 1 - back]) back++
  return front + back
}
const wordsOf = (name: string): readonly string[] => name.split(/[._]/)
/** The module whose name is most like another; the first words of both are the same. */
export const nearestIn = (directory: Directory): ((name: string) => string | undefined) => {
  const known = [...directory.keys()].map((name) => ({ name, words: wordsOf(name) }))
  const byFirst = new Map<string, typeof known>()
  for (const one of known) {
    const first = one.words[0] ?? ''
    const others = byFirst.get(first)
    if (others === undefined) byFirst.set(first, [one])
    else others.push(one)
  }
  return (name) => {
    const words = wordsOf(name)
    let best: { readonly name: string; readonly score: number } | undefined
    for (const one of byFirst.get(words[0] ?? '') ?? []) {
      const score = alike(words, one.words) - Math.abs(one.words.length - words.length) / 100
      if (best === undefined || score > best.score) best = { name: one.name, score }
    }
    return best?.name
  }
}
