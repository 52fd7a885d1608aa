import { reshape, type Tensor } from '../../declare/index.ts'
import { type Checked, fail } from '../../error.ts'
import {
  codebookEntries,
  codebookUsage,
  gumbelQuantizer,
  type Remap,
  remapToUsed,
  unmapToAll,
  vectorQuantizer,
} from '../../nn/index.ts'
import { E, identity, pipe } from '../../prelude.ts'
import { anything, flag, integer, list, number, record, withDefault } from '../../schema.ts'
import type { Case } from '../case.ts'
import { adapter, area, type Plan } from '../plan.ts'
import { given, graphPlan, optional } from '../rebuild.ts'

const positive = integer({ min: 1 })
type Outputs = Readonly<Record<string, Tensor>>

export const remapConfig = { used: list(integer({ min: 0 })), unknown_index: anything, re_embed: positive }
interface RemapConfig {
  readonly used?: readonly number[]
  readonly unknown_index?: unknown
}

/** The used codes are a buffer of the module, or told. */
export const remapOf = (
  c: Case,
  { used, unknown_index: unknown = 'random' }: RemapConfig,
): Checked<Remap | undefined> => {
  const shipped = c.params.used
  const codes = shipped === undefined ? used : Array.from(shipped.data, Number)
  if (codes === undefined) return E.right(undefined)
  return unknown === 'extra' || unknown === 'random' || typeof unknown === 'number'
    ? E.right({ used: codes, unknown })
    : fail('config', `${c.file.path}: config/unknown_index`, '"extra", "random" or a number', String(unknown))
}

/** The reference gives codes in a row, in a column, or as the latents lie. */
export const laidOut = (c: Case, out: string, codes: Tensor): Outputs => ({
  [out]: pipe(codes, reshape(...(c.expected[`out.${out}`]?.shape ?? codes.shape))),
})

/** Codes as the latents lie. */
const grid = ([n = 0, , h = 0, w = 0]: readonly number[]) => reshape(n, h, w)

const quantizerConfig = record(
  { n_e: positive, e_dim: positive },
  { beta: withDefault(number(), 0.25), legacy: withDefault(flag, true), sane_index_shape: withDefault(flag, false) },
  remapConfig,
)

const quantizerPlan = (config: (typeof quantizerConfig)['_A'], c: Case): Checked<Plan> =>
  pipe(
    remapOf(c, config),
    E.flatMap((remap) => {
      const z = given(c, 'z')
      const { n_e: entries, e_dim: dim, beta, legacy } = config
      const quantized = vectorQuantizer('', { entries, dim, beta, weighs: legacy ? 'legacyBeta' : 'beta' })(z)
      const toUsed = remap === undefined ? identity : remapToUsed('', entries, remap)
      const toAll = remap === undefined ? identity : unmapToAll(remap)
      const vectors = codebookEntries('', { entries, dim })
      const [told, all, places] = [
        optional(c, 'entry_indices'),
        optional(c, 'all_indices'),
        optional(c, 'used_indices'),
      ]
      const codes = toUsed(quantized.codes)
      return graphPlan(c, {
        z_q: quantized.y,
        loss: quantized.loss,
        perplexity: codebookUsage(entries)(quantized.codes).perplexity,
        ...laidOut(c, 'indices', codes),
        ...laidOut(c, 'indices_without_remap', quantized.codes),
        codebook_entry: told === undefined ? undefined : pipe(told, grid(z.shape), toAll, vectors),
        codebook_entry_of_indices: pipe(codes, toAll, vectors),
        remap_to_used: all === undefined ? undefined : toUsed(all),
        unmap_to_all: places === undefined ? undefined : toAll(places),
      })
    }),
  )

const gumbelConfig = record(
  { n_embed: positive, embedding_dim: positive },
  {
    straight_through: withDefault(flag, true),
    kl_weight: withDefault(number(), 5e-4),
    temp_init: withDefault(number(), 1),
    train: withDefault(flag, false),
  },
  { temp: number(), num_hiddens: positive, use_vqinterface: flag, ...remapConfig },
)

const gumbelPlan = (config: (typeof gumbelConfig)['_A'], c: Case): Checked<Plan> =>
  pipe(
    remapOf(c, config),
    E.flatMap((remap) => {
      const { n_embed: entries, embedding_dim: dim, kl_weight: klWeight, straight_through: hard } = config
      const { y, loss, codes, logits } = gumbelQuantizer('', { entries, dim, klWeight, hard })(given(c, 'z'), {
        noise: given(c, 'gumbel'),
        temperature: config.temp ?? config.temp_init,
        training: config.train,
        ...(remap === undefined ? {} : { used: remap.used }),
      })
      return graphPlan(c, { z_q: y, diff: loss, logits, ...laidOut(c, 'indices', codes) })
    }),
  )

export const quantizeArea = area(
  {
    'quantize.py VectorQuantizer2': adapter(quantizerConfig, quantizerPlan),
    'quantize.py VectorQuantizer': adapter(quantizerConfig, quantizerPlan),
    'quantize.py GumbelQuantize': adapter(gumbelConfig, gumbelPlan),
  },
  [
    { tensor: /indices|remap|unmap/, measure: 'exact', limit: 0 },
    { tensor: /./, measure: 'scaled', limit: 2e-6 },
  ],
)
