import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { parameters } from '../../src/graph/graph.ts'
import { float, int, type Shape, size } from '../../src/graph/types.ts'
import {
  type AutoencoderConfig,
  autoencoderConfig,
  codebookEntries,
  decode as decodeLatents,
  encode,
  publishedAutoencoder,
  publishedUNet,
  type UNetConfig,
  unet,
  unetConfig,
} from '../../src/nn/index.ts'
import { E, t } from '../../src/prelude.ts'
import { decode, dictionary, integer, list, record, text } from '../../src/schema.ts'

/** Published models: every parameter's name and shape, as the reference's `state_dict` has them. */

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const json = (path: string): unknown => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
const files = (folder: string): readonly string[] =>
  readdirSync(new URL(folder, import.meta.url)).filter((f) => f !== 'digests.json')

type Shapes = Readonly<Record<string, Shape>>
const shapes = (outputs: Readonly<Record<string, Tensor>>): Shapes =>
  Object.fromEntries(parameters(right(freeze(outputs))).map((p) => [p.name, p.shape]))

const autoencoderShapes = (c: AutoencoderConfig, codebook: number | undefined): Shapes => {
  const side = c.resolution / 2 ** (c.channelMultipliers.length - 1)
  const latents =
    codebook === undefined
      ? input('z', float(1, c.latentChannels, side, side))
      : codebookEntries('quantize', { entries: codebook, dim: c.latentChannels })(input('codes', int(1, side, side)))
  return shapes({
    latents: encode('', c)(input('x', float(1, c.inChannels, c.resolution, c.resolution))),
    pictures: decodeLatents('', c)(latents),
  })
}
const unetShapes = (c: UNetConfig): Shapes => {
  const side = 2 ** (c.channelMultipliers.length - 1)
  const context = c.attention.kind === 'self' ? undefined : input('context', float(1, 3, c.attention.contextDim))
  const x = input('x', float(1, c.inChannels, side, side))
  return shapes({ y: unet('', c)(x, input('t', int(1)), { context }) })
}

const digest = (s: Shapes) => {
  const names = Object.keys(s).sort()
  const lines = names.map((k) => `${k} ${s[k]?.join(',')}\n`)
  return {
    tensors: names.length,
    parameters: names.reduce((n, k) => n + size(s[k] ?? []), 0),
    sha256: createHash('sha256').update(lines.join('')).digest('hex'),
  }
}

/** Parts that later work builds: losses with their discriminators, and conditioning stages. */
const built = (s: Shapes): Shapes => Object.fromEntries(Object.entries(s).filter(([k]) => !k.startsWith('loss.')))

const declared = record(
  { sources: list(text), autoencoder: autoencoderConfig },
  {},
  { codebook: integer({ min: 1 }), unet: unetConfig },
)
const sum = record({ tensors: integer(), parameters: integer(), sha256: text })
const digests = right(
  decode(dictionary(record({ autoencoder: sum }, {}, { unet: sum })))(json('./manifests/digests.json')),
)

describe('declared published models', () => {
  const names = files('../../graphs/published/')
  it('are all there', () => expect(names.toSorted()).toEqual(Object.keys(digests)))
  it.each(names)('%s has the published names and shapes', (name) => {
    const model = right(decode(declared)(json(`../../graphs/published/${name}`)))
    expect({
      autoencoder: digest(autoencoderShapes(model.autoencoder, model.codebook)),
      ...(model.unet === undefined ? {} : { unet: digest(unetShapes(model.unet)) }),
    }).toEqual(digests[name])
  })
})

/** A manifest, as far as this test reads it; the rest of the published configuration is passed over. */
const Stage = t.type({ params: t.UnknownRecord })
const Manifest = t.type({
  model: t.intersection([Stage, t.partial({ first_stage_config: Stage, unet_config: Stage })]),
  state_dict: t.record(t.string, t.record(t.string, t.array(t.number))),
})
const AutoencoderParams = t.intersection([
  t.type({ ddconfig: t.unknown, embed_dim: t.number }),
  t.partial({ n_embed: t.number }),
])
const parse = <A>(codec: t.Type<A, unknown, unknown>, u: unknown): A => {
  const parsed = codec.decode(u)
  if (E.isLeft(parsed)) throw new Error(`not ${codec.name}`)
  return parsed.right
}
const stage = (m: t.TypeOf<typeof Manifest>['model'], name: 'first_stage_config' | 'unet_config') =>
  m[name] ?? (m.params[name] === undefined ? undefined : parse(Stage, m.params[name]))

describe('published configurations', () => {
  it.each(files('./manifests/'))('%s, as published, has every name and shape', (name) => {
    const { model, state_dict: sections } = parse(Manifest, json(`./manifests/${name}`))
    const first = parse(AutoencoderParams, (stage(model, 'first_stage_config') ?? model).params)
    const ours = autoencoderShapes(right(publishedAutoencoder(first.ddconfig, first.embed_dim)), first.n_embed)
    expect(ours).toEqual(built(sections.first_stage ?? sections.model ?? {}))
    const second = stage(model, 'unet_config')
    if (second !== undefined) expect(unetShapes(right(publishedUNet(second.params)))).toEqual(sections.unet)
  })
})
