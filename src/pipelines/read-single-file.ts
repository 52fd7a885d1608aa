import { type Checked, collect, type Effect, effect, fail } from '../error.ts'
import type { CheckpointFile } from '../io/checkpoint-file.ts'
import type { UnreadArrays } from '../io/stored.ts'
import type { Layout } from '../nn/layout.ts'
import { openClipNames } from '../nn/text/clip-names.ts'
import { E, pipe, TE } from '../prelude.ts'
import { behind, matched } from './arrays.ts'
import type { PipelineDocument, TextPart } from './document.ts'
import { graphsOf } from './networks.ts'
import { configuredBy, tokenizersOf } from './read-diffusers.ts'
import type { ReadModel } from './read-model.ts'
import type { Component, Weights } from './weights.ts'

/** Single files in the original's names, with what lies in them of each component. */

/** What text encoders stand behind, the k-th of them: as in transformers' names, or as OpenCLIP packs them. */
const textPrefixes = (k: number): readonly (readonly [prefix: string, packed: boolean])[] => [
  ...(k === 0
    ? ([
        ['cond_stage_model.', false],
        ['cond_stage_model.model.', true],
      ] as const)
    : []),
  [`conditioner.embedders.${k}.`, false],
  [`conditioner.embedders.${k}.model.`, true],
]

const textLayout = (part: TextPart, k: number, found: UnreadArrays): Checked<Layout> => {
  const { encoder } = part
  const keys = Object.keys(found)
  if (encoder.kind === 'bert') return E.right(behind('cond_stage_model.'))
  const layouts = textPrefixes(k).map(([prefix, packed]) =>
    behind(prefix, packed ? openClipNames(encoder.config) : undefined),
  )
  const first = 'transformer.text_model.embeddings.token_embedding.weight'
  const fitting = layouts.find((layout) => keys.includes(layout(first)?.key ?? ''))
  return fitting === undefined
    ? fail('file', `text encoder ${k}`, layouts.map((layout) => layout(first)?.key ?? '').join(' | '), 'none of them')
    : E.right(fitting)
}

/** Encoders of conditions that are no texts. */
export const encoded = ['classes', 'boxes', 'rescaler'] as const satisfies readonly Component[]

/** How a single file names the arrays of each component. */
export const originalLayouts = (
  document: PipelineDocument,
  found: UnreadArrays,
): Checked<Readonly<Record<string, Layout>>> =>
  pipe(
    collect(
      document.conditioning.text.map((part, k) =>
        pipe(
          textLayout(part, k, found),
          E.map((layout) => [`text.${k}`, layout] as const),
        ),
      ),
    ),
    E.map((texts) => ({
      unet: behind('model.diffusion_model.'),
      firstStage: behind('first_stage_model.'),
      ...Object.fromEntries(encoded.map((name) => [name, behind('cond_stage_model.')])),
      ...Object.fromEntries(texts),
    })),
  )

/** What a checkpoint holds beside its networks, and follows from its configuration. */
export const derived =
  /^(betas|alphas_cumprod(_prev)?|sqrt_.*|log_one_minus_alphas_cumprod|posterior_.*|lvlb_weights|logvar|scale_factor|denoiser\.sigmas|model_ema\.(decay|num_updates)|.*\.position_ids)$/
/** Of text encoders, what nothing reads: the scale of a contrast, and a layer behind the last that is. */
const unread = /(\.logit_scale|\.text_projection|\.attn_mask)$/

/** The parts of a single file. Errors: `file`. */
export const partsOf = (
  path: string,
  document: PipelineDocument,
  layouts: Readonly<Record<string, Layout>>,
  found: UnreadArrays,
): Checked<{ readonly weights: Weights; readonly leftOver: readonly string[] }> =>
  pipe(
    graphsOf(document),
    E.flatMap((graphs) =>
      collect(
        Object.entries(graphs).map(([component, graph]) =>
          pipe(
            matched(graph, layouts[component] ?? ((name) => ({ key: name })), found, path),
            E.map((of) => ({ component, ...of })),
          ),
        ),
      ),
    ),
    E.map((parts) => {
      const used = new Set(parts.flatMap((part) => part.used))
      const beyond = beyondLast(document, layouts)
      return {
        weights: Object.fromEntries(parts.map(({ component, arrays }) => [component, arrays])),
        leftOver: Object.keys(found).filter(
          (key) =>
            !used.has(key) && !derived.test(key) && !unread.test(key) && !beyond.some((start) => key.startsWith(start)),
        ),
      }
    }),
  )

/** Where the layer behind the last that is read would lie: OpenCLIP's files have one more. */
const beyondLast = (document: PipelineDocument, layouts: Readonly<Record<string, Layout>>): readonly string[] =>
  document.conditioning.text.flatMap(({ encoder }, k) => {
    if (encoder.kind !== 'clip') return []
    const name = `transformer.text_model.encoder.layers.${encoder.config.layers}.layer_norm1.weight`
    const key = layouts[`text.${k}`]?.(name)?.key
    return key === undefined ? [] : [key.replace(/(ln_1|layer_norm1)\.weight$/, '')]
  })

/** A single file with the configurations of a diffusers folder. Errors: `config`, `file`. */
export const singleFile = <A>(
  path: string,
  config: string,
  { arrays, remarks }: CheckpointFile,
  use: (model: ReadModel) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    const { document, folders, remarks: notRead } = await run(configuredBy(config))
    const tokenizers = await run(tokenizersOf(document, folders))
    const layouts = await run(TE.fromEither(originalLayouts(document, arrays)))
    const parts = await run(TE.fromEither(partsOf(path, document, layouts, arrays)))
    return run(use({ document, tokenizers, folders, remarks: [...remarks, ...notRead], ...parts }))
  })
