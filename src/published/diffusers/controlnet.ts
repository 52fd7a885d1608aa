import type { Checked } from '../../error.ts'
import { mostLevels, width } from '../../nn/bounds.ts'
import type { ControlNetConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { list, record, withDefault } from '../../schema.ts'
import { only, type Read, readConfig, unheeded } from './fields.ts'
import { harmlessInTrunk, trunk, trunkOf, type VectorLayers, vectorLayers } from './trunk.ts'

/** A `ControlNetModel`. */
export interface DiffusersControlNet {
  readonly controlNet: ControlNetConfig
  readonly vectorLayers?: VectorLayers
}

const harmless = [...harmlessInTrunk, 'addition_time_embed_dim'] as const

const codec = record(
  trunk.required,
  {
    ...trunk.defaulted,
    conditioning_channels: withDefault(width, 3),
    conditioning_embedding_out_channels: withDefault(list(width, { min: 1, max: mostLevels }), [16, 32, 96, 256]),
    controlnet_conditioning_channel_order: only('rgb'),
    global_pool_conditions: only(false),
  },
  unheeded(harmless),
)

/** Errors: `config`, each with its JSON pointer behind `base`. */
export const diffusersControlNet = (document: unknown, base = ''): Checked<Read<DiffusersControlNet>> =>
  pipe(
    readConfig('ControlNetModel', codec, harmless)(document, base),
    E.flatMap(({ config: p, ignored }) =>
      pipe(
        trunkOf(p, base),
        E.map((shared) => {
          const layers = vectorLayers(p)
          return {
            config: {
              controlNet: {
                ...shared,
                hintChannels: p.conditioning_channels,
                hintWidths: p.conditioning_embedding_out_channels,
              },
              ...(layers === undefined ? {} : { vectorLayers: layers }),
            },
            ignored,
          }
        }),
      ),
    ),
  )
