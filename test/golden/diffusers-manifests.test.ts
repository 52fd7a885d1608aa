import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { parameters } from '../../src/graph/graph.ts'
import { float, int } from '../../src/graph/types.ts'
import {
  type ControlNetConfig,
  controlNet,
  decode as decodeLatents,
  encode,
  type UNetConfig,
  unet,
} from '../../src/nn/index.ts'
import { E, pipe } from '../../src/prelude.ts'
import {
  autoencoderNames,
  controlNetNames,
  diffusersAutoencoderKl,
  diffusersControlNet,
  diffusersUNet,
  type Names,
  toOurs,
  toTheirs,
  unetNames,
} from '../../src/published/diffusers/index.ts'
import { anything, decode, dictionary, either, integer, list, record, text } from '../../src/schema.ts'

/** Real sizes: every key of diffusers' `state_dict`, with its shape and its original name, and no other; nothing has weights. */

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const shape = list(integer({ min: 0 }))
const manifest = record(
  {
    class: text,
    config: anything,
    state_dict: dictionary(shape),
    original: dictionary(either(text, record({ key: text, shape }))),
  },
  {},
  {
    older_names: dictionary(text),
    ...Object.fromEntries(['source', 'dtype', 'count', 'elements'].map((key) => [key, anything])),
  },
)

const told = (c: UNetConfig | ControlNetConfig) => ({
  context: c.attention.kind === 'self' ? undefined : input('context', float(1, 77, c.attention.contextDim)),
  y: c.vector === undefined ? undefined : input('y', float(1, c.vector)),
})
const latents = (c: UNetConfig | ControlNetConfig) => input('x', float(1, c.inChannels, 8, 8))
const steps = input('t', int(1))

interface Network {
  readonly outputs: Readonly<Record<string, Tensor>>
  readonly names: Names
  readonly older?: Names
  readonly prefix: string
}
const networks: Readonly<Record<string, (config: unknown) => Network>> = {
  UNet2DConditionModel: (config) => {
    const { unet: c, vectorLayers } = right(diffusersUNet(config)).config
    return {
      outputs: { y: unet('', c)(latents(c), steps, told(c)) },
      names: unetNames(c, vectorLayers),
      prefix: 'model.diffusion_model.',
    }
  },
  ControlNetModel: (config) => {
    const { controlNet: c, vectorLayers } = right(diffusersControlNet(config)).config
    const { down, middle } = controlNet('', c)(
      latents(c),
      steps,
      input('hint', float(1, c.hintChannels, 64, 64)),
      told(c),
    )
    return {
      outputs: { ...Object.fromEntries(down.map((x, i) => [`${i}`, x])), middle },
      names: controlNetNames(c, vectorLayers),
      prefix: 'control_model.',
    }
  },
  AutoencoderKL: (config) => {
    const { autoencoder: c } = right(diffusersAutoencoderKl(config)).config
    const z = input('z', float(1, c.latentChannels, 8, 8))
    return {
      outputs: { moments: pipe(input('x', float(1, 3, 64, 64)), encode('', c)), y: pipe(z, decodeLatents('', c)) },
      names: autoencoderNames(c),
      older: autoencoderNames(c, 'older'),
      prefix: 'first_stage_model.',
    }
  },
}

const folder = new URL('./diffusers-manifests/', import.meta.url)
describe.each(readdirSync(folder))('%s', (file) => {
  const read = right(decode(manifest)(JSON.parse(gunzipSync(readFileSync(new URL(file, folder))).toString())))
  const { outputs, names, older, prefix } = networks[read.class]?.(read.config) ?? {
    outputs: {},
    names: [],
    prefix: '',
  }
  const layout = toTheirs(names)
  const own = parameters(right(freeze(outputs)))

  it('has all that our graph declares, by the names and shapes of diffusers', () => {
    const theirs = own.map(({ name, shape: s }) => {
      const { key = name, trailing } = layout(name) ?? {}
      return [key, trailing ? s.slice(0, 2) : s] as const
    })
    expect(Object.fromEntries(theirs)).toEqual(read.state_dict)
  })
  it('has the original names and shapes, and the way back leads to them', () => {
    const back = toOurs(names)
    const shapes = new Map(own.map((p) => [p.name, p.shape]))
    const said = Object.keys(read.state_dict).map((key) => {
      const ours = back(key) ?? ''
      expect(layout(ours)?.key).toBe(key)
      return [key, layout(ours)?.trailing ? { key: prefix + ours, shape: shapes.get(ours) } : prefix + ours] as const
    })
    expect(Object.fromEntries(said)).toEqual(read.original)
  })
  it('is read by its older names too, where it had others', () => {
    const earlier = toOurs(older ?? [])
    const newer = Object.entries(read.older_names ?? {})
    expect(newer.map(([, name]) => earlier(name))).toEqual(newer.map(([key]) => toOurs(names)(key)))
  })
})
