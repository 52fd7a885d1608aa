import { type Checked, fail, failure, type LatentError } from '../error.ts'
import type { Value, Values } from '../execute/executor.ts'
import type { Conditioning } from '../experiment/conditioning.ts'
import type { Diffusion, Experiment } from '../experiment/document.ts'
import { boxEncoder } from '../experiment/known-conditions.ts'
import { positionsOf } from '../experiment/text-encoders.ts'
import { parameters } from '../graph/graph.ts'
import { elementsOf, type UnreadArray, type UnreadArrays } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { type Words, wordsFiles } from '../text/learnt.ts'
import { asFiles } from '../text/tokenizer-files.ts'
import { type PipelineDocument, pipelineDocument } from './document.ts'
import { graphsOf } from './networks.ts'
import type { Written } from './write.ts'

/** A model that was trained here as a published one. Errors (`config`): what no published model has, by the experiment's fields. */

/** Of a run: its experiment, the U-Net's configuration with the data's classes, what latents are multiplied by, and its arrays. */
export interface Trained {
  readonly experiment: Experiment
  readonly unet: Diffusion['unet']
  readonly scale: number
  /** Where its model reads texts. */
  readonly words?: Words
  readonly firstStage: Values
  readonly diffusion: Values
}

const refused = (fits: boolean, at: string, expected: string, got: string): readonly LatentError[] =>
  fits ? [] : [failure('config', at, expected, got)]

const problems = ({ firstStage: stage, diffusion: d }: Experiment): readonly LatentError[] => [
  ...refused(stage.kind !== 'identity', '/firstStage/kind', '"kl" | "vq"', stage.kind),
  ...refused(
    stage.kind !== 'vq' || stage.quantizer.kind === 'nearest',
    '/firstStage/quantizer/kind',
    '"nearest"',
    stage.kind === 'vq' ? stage.quantizer.kind : '',
  ),
  ...(d === undefined
    ? []
    : [
        ...refused(d.latents === 'unquantised', '/diffusion/latents', '"unquantised"', d.latents),
        ...refused(d.variance.kind === 'fixed', '/diffusion/variance/kind', '"fixed"', d.variance.kind),
        ...refused(d.adapter === undefined, '/diffusion/adapter', 'none, as weights are written', 'one'),
      ]),
]

type Conditions = Partial<Readonly<Record<keyof PipelineDocument['conditioning'], unknown>>>
/** Undefined where no published model has such a one. */
type Published = Conditions | undefined
type Of<K extends Conditioning['kind']> = Extract<Conditioning, { readonly kind: K }>
/** What each kind of condition is among those of published models. */
const conditions: { readonly [K in Conditioning['kind']]: (c: Of<K>, channels: number) => Published } = {
  none: () => ({}),
  // The U-Net embeds labels itself.
  class: () => ({}),
  text: ({ kind: _, dropout: __, ...config }) => ({
    text: [
      {
        encoder: { kind: 'clip', config: { ...config, activation: 'gelu' } },
        tokenizer: { from: 'folder', name: 'tokenizer' },
      },
    ],
  }),
  // Of a published model, which itself is what others read.
  'frozen-text': () => undefined,
  'super-resolution': (_, channels) => ({ beside: { kind: 'low-resolution', channels } }),
  'label-map': () => undefined,
  vector: () => undefined,
  boxes: (c) => ({ boxes: { encoder: boxEncoder(c) } }),
  hybrid: ({ told, beside }, channels) => {
    const [one, other] = [told, beside].map((part) => conditionsOf(part.kind, part, channels))
    return one === undefined || other === undefined ? undefined : { ...one, ...other }
  },
  inpainting: ({ layout }) => ({
    beside: { kind: layout === 'stable-diffusion' ? 'mask-and-latents' : 'masked-latents' },
  }),
}
const conditionsOf = <K extends Conditioning['kind']>(kind: K, c: Of<K>, channels: number): Published =>
  conditions[kind](c, channels)

const documentOf = ({ experiment: e, unet, scale }: Trained): Checked<PipelineDocument> => {
  const { firstStage: stage, diffusion: d } = e
  if (stage.kind === 'identity' || d === undefined)
    return fail('config', '/diffusion', 'a diffusion stage on latents', 'none')
  const { network } = stage
  const { kind } = d.conditioning
  const conditioning = conditionsOf(kind, d.conditioning, network.inChannels)
  if (conditioning === undefined)
    return fail('config', '/diffusion/conditioning/kind', 'one that published models have', kind)
  return decode(pipelineDocument)({
    model: e.name,
    firstStage: {
      ...(stage.kind === 'vq' ? { kind: 'vq', entries: stage.quantizer.entries } : { kind: 'kl' }),
      network,
      scale,
      measured: d.latentScale?.kind !== 'fixed',
    },
    unet,
    side: network.resolution / 2 ** (network.channelMultipliers.length - 1),
    predicts: d.predicts,
    conditioning,
    sampling: { by: 'compvis', schedule: d.schedule, sampler: 'ddim' },
  })
}

const unread = ({ shape, data }: Value): UnreadArray => ({
  dtype: 'F32',
  shape,
  bytes: 4 * elementsOf(shape),
  read: TE.right({ dtype: 'float32', shape, data: Float32Array.from(data) }),
})

/** The arrays of a component, averaged ones where there are any. */
const arraysOf = (state: Values, prefix: string, names: readonly string[]): Checked<UnreadArrays> => {
  const all = names.map((name) => [name, state[`ema.shadow.${prefix}${name}`] ?? state[prefix + name]] as const)
  const missing = all.find(([, value]) => value === undefined)
  return missing === undefined
    ? E.right(Object.fromEntries(all.flatMap(([name, value]) => (value === undefined ? [] : [[name, unread(value)]]))))
    : fail('training', missing[0], 'an array of the run', 'none')
}

/** Where the arrays of a component stand in a run: whose stage, behind what. */
const places: Readonly<Record<string, readonly [stage: 'firstStage' | 'diffusion', prefix: string]>> = {
  firstStage: ['firstStage', ''],
  'text.0': ['diffusion', 'cond_stage_model.'],
  boxes: ['diffusion', 'cond_stage_model.'],
}

/** Words of its own, as the files of a tokenizer. */
const tokenizerFilesOf = (
  { words }: Trained,
  { conditioning: { text } }: PipelineDocument,
): Written['tokenizerFiles'] => {
  const [part] = text
  return words === undefined || part === undefined
    ? {}
    : { tokenizer: TE.right(asFiles(wordsFiles(words, positionsOf(part.encoder)))) }
}

export const publishedOf = (trained: Trained): Checked<Written> => {
  const [first, ...rest] = problems(trained.experiment)
  if (first !== undefined) return E.left([first, ...rest])
  return pipe(
    documentOf(trained),
    E.bindTo('document'),
    E.bind('graphs', ({ document }) => graphsOf(document)),
    E.bind('weights', ({ graphs }) =>
      pipe(
        Object.entries(graphs),
        E.traverseArray(([component, graph]) => {
          const [stage, prefix] = places[component] ?? (['diffusion', ''] as const)
          return pipe(
            arraysOf(
              trained[stage],
              prefix,
              parameters(graph).map(({ name }) => name),
            ),
            E.map((arrays) => [component, arrays] as const),
          )
        }),
        E.map(Object.fromEntries),
      ),
    ),
    E.map(({ document, weights }) => ({ document, weights, tokenizerFiles: tokenizerFilesOf(trained, document) })),
  )
}
