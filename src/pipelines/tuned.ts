import { type Checked, type Effect, effect, fail, failure, type LatentError } from '../error.ts'
import { floats, type Value, type Values } from '../execute/executor.ts'
import { type Conditioning, conditioning } from '../experiment/conditioning.ts'
import { type Diffusion, type Experiment, type FirstStage, firstStage } from '../experiment/document.ts'
import { inversionLeaf, tableOf } from '../experiment/new-word.ts'
import { sampling } from '../experiment/sampling.ts'
import { noiseSchedule, type Schedule } from '../experiment/schedule.ts'
import type { TunedModel } from '../experiment/tuning.ts'
import { E, pipe, RNEA, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { inversionWords, sound } from '../text/textual-inversion.ts'
import type { Base } from '../train/options.ts'
import type { PipelineDocument, PipelineSampling } from './document.ts'
import { encodersOf, readerOf, textValues } from './held-texts.ts'
import { graphsOf } from './networks.ts'
import type { Pipeline } from './request.ts'
import { withPublishedRun } from './run-files.ts'
import { weightsOf } from './weights.ts'

/** A published model as one that something is trained beside. */

/** What of an experiment its model depends on. */
export interface Tuned {
  /** Pixels of a side. */
  readonly size: number
  readonly dropout: number
  readonly adapter?: Diffusion['adapter']
}

const at = '/adapter/of'
const refused = (fits: boolean, expected: string, got: string): readonly LatentError[] =>
  fits ? [] : [failure('config', at, expected, got)]

/** What nothing can be trained beside yet. */
const problems = ({ firstStage: stage, conditioning: told }: PipelineDocument): readonly LatentError[] => [
  ...(stage.kind === 'tiny' || stage.kind === 'pixels'
    ? refused(false, 'a model with a first stage of kind "kl" or "vq"', stage.kind)
    : refused(stage.shift === 0, 'latents that nothing is taken from', `shift ${stage.shift}`)),
  ...refused(told.classes === null, 'a model that is told texts, or nothing', 'classes'),
  ...refused(told.boxes === null, 'a model that is told texts, or nothing', 'boxes'),
  ...refused(told.sizes?.aesthetic !== true, 'a model that draws by itself', 'a refiner'),
  ...refused(told.beside === null, 'a model that sees nothing beside x_t', told.beside?.kind ?? ''),
]

type Scheduler = Extract<PipelineSampling, { readonly by: 'diffusers' }>
type Config = Scheduler['config']
const schedules: { readonly [K in Config['beta_schedule']]: (c: Config) => object } = {
  linear: (c) => ({ kind: 'linear', betaStart: c.beta_start, betaEnd: c.beta_end }),
  scaled_linear: (c) => ({ kind: 'scaled-linear', betaStart: c.beta_start, betaEnd: c.beta_end }),
  sigmoid: (c) => ({ kind: 'sigmoid-beta', betaStart: c.beta_start, betaEnd: c.beta_end }),
  squaredcos_cap_v2: () => ({ kind: 'cosine' }),
}
/** How the model was trained to see data turn into noise. Errors (`config`): by a list of variances, or along a flow. */
const scheduleOf = ({ sampling: drawn, predicts }: PipelineDocument): Checked<Schedule> => {
  if (predicts === 'flow') return fail('config', at, 'a model of timesteps', 'a flow')
  if (drawn.by === 'compvis') return E.right(drawn.schedule)
  const { config } = drawn
  return config.trained_betas !== null
    ? fail('config', at, `variances by a rule: ${Object.keys(schedules).join(' | ')}`, 'trained_betas')
    : decode(noiseSchedule)({
        ...schedules[config.beta_schedule](config),
        timesteps: config.num_train_timesteps,
        zeroTerminalSnr: config.rescale_betas_zero_snr,
      })
}

const scaleOf = ({ firstStage: stage }: PipelineDocument): number => (stage.kind === 'pixels' ? 1 : stage.scale)

/** Convolutions take pictures of any size; where attention is among them goes with it. */
const stageOf = ({ firstStage: stage }: PipelineDocument, size: number): Checked<FirstStage> => {
  if (stage.kind === 'tiny' || stage.kind === 'pixels') return fail('config', at, '"kl" | "vq"', stage.kind)
  const { resolution, attentionResolutions } = stage.network
  return decode(firstStage)({
    ...(stage.kind === 'vq' ? { kind: 'vq', quantizer: { kind: 'nearest', entries: stage.entries } } : { kind: 'kl' }),
    network: {
      ...stage.network,
      resolution: size,
      attentionResolutions: attentionResolutions.map((side) => (side * size) / resolution),
    },
    loss: {},
    training: heldTraining,
  })
}
/** A first stage is held: it is declared with a training, and has none. */
const heldTraining = {
  steps: 1,
  batchSize: 1,
  optimizer: { kind: 'sgd' },
  learningRate: { kind: 'constant', rate: 1e-12 },
}

const encodersIn = ({ document: { conditioning: told }, tokenizers }: Pipeline) =>
  encodersOf({ parts: told.text, tokenizers })

const conditionOf = (pipeline: Pipeline, dropout: number): Checked<Conditioning> => {
  const { text, sizes, zerosForNothing } = pipeline.document.conditioning
  return text.length === 0
    ? decode(conditioning)({ kind: 'none' })
    : decode(conditioning)({
        kind: 'frozen-text',
        dropout,
        sizes: sizes === null ? null : { dim: sizes.dim },
        zerosForNothing,
        encoders: encodersIn(pipeline),
      })
}

const modelOf = (pipeline: Pipeline, { size, dropout }: Tuned): Checked<TunedModel> => {
  const { document } = pipeline
  const [first, ...rest] = problems(document)
  return pipe(
    first === undefined ? E.right(undefined) : E.left<readonly [LatentError, ...LatentError[]]>([first, ...rest]),
    E.bind('stage', () => stageOf(document, size)),
    E.bind('schedule', () => scheduleOf(document)),
    E.bind('condition', () => conditionOf(pipeline, dropout)),
    E.bind('drawn', () => decode(sampling)({ sampler: 'ddim', steps: document.steps, guidance: document.guidance })),
    E.map(({ stage, schedule, condition, drawn }) => ({
      firstStage: stage,
      sampling: drawn,
      diffusion: {
        unet: document.unet,
        conditioning: condition,
        schedule,
        predicts: document.predicts,
        variance: { kind: 'fixed' },
        latents: 'unquantised',
        latentScale: { kind: 'fixed', value: scaleOf(document) },
      },
    })),
  )
}

type Adapter = NonNullable<Diffusion['adapter']>

/** A model whose tokenizers know the word that an adapter teaches. Errors (`config`): a word that is there, or is none. */
const taught = (pipeline: Pipeline, adapter: Adapter | undefined): Checked<Pipeline> => {
  if (adapter?.kind !== 'textual-inversion') return E.right(pipeline)
  const { token, vectors } = adapter
  const { text } = pipeline.document.conditioning
  if (text.length === 0 || text.some(({ encoder }) => encoder.kind !== 'clip'))
    return fail(
      'config',
      at,
      'a model with text encoders of CLIP',
      text.map(({ encoder }) => encoder.kind).join() || 'none',
    )
  return pipe(
    sound(token, '/adapter/token'),
    E.flatMap(() =>
      pipe(
        pipeline.tokenizers,
        E.traverseArray((own) => own.adding(inversionWords(token, vectors))),
      ),
    ),
    E.bimap(
      RNEA.map((e) => ({ ...e, tag: 'config' as const, at: '/adapter/token' })),
      (tokenizers) => ({ ...pipeline, tokenizers }),
    ),
  )
}

/** Embeddings that a word's begin with, by leaf: those of the words it begins as, in turn. Errors (`config`): no words. */
const beginsOf = (pipeline: Pipeline, adapter: Adapter | undefined, held: Values): Checked<Values> => {
  if (adapter?.kind !== 'textual-inversion') return E.right({})
  return pipe(
    pipeline.tokenizers.map((tokenizer, k) => ({ k, ids: tokenizer.encode(adapter.initial), table: held[tableOf(k)] })),
    E.traverseArray(({ k, ids, table }): Checked<readonly [string, Value]> => {
      const width = table?.shape[1] ?? 0
      if (ids.length === 0 || table === undefined)
        return fail('config', '/adapter/initial', 'a word', JSON.stringify(adapter.initial))
      const rows = Array.from({ length: adapter.vectors }, (_, i) => ids[i % ids.length] ?? 0)
      return E.right([
        inversionLeaf(k),
        floats(
          [adapter.vectors, width],
          Float32Array.from(rows.flatMap((id) => Array.from(table.data.subarray(id * width, (id + 1) * width)))),
        ),
      ])
    }),
    E.map((entries) => Object.fromEntries(entries)),
  )
}

/** What of an experiment is a published model's. Errors: `file`, `config`. */
export const publishedModel = (dir: string, tuned: Tuned): Effect<TunedModel> =>
  withPublishedRun(dir, (pipeline) =>
    TE.fromEither(
      pipe(
        taught(pipeline, tuned.adapter),
        E.flatMap(() => modelOf(pipeline, tuned)),
      ),
    ),
  )

const dropoutOf = ({ diffusion }: Experiment): number =>
  diffusion?.conditioning.kind === 'frozen-text' ? diffusion.conditioning.dropout : 0

const withoutAdapter = ({ adapter: _, ...plain }: Diffusion): Diffusion => plain

/** A published model with all its weights, for an experiment that trains beside it. Errors: `file`, `config`. */
export const publishedBase = (dir: string, e: Experiment): Effect<Base> =>
  withPublishedRun(dir, (pipeline) =>
    effect(async (run) => {
      const { document, weights } = pipeline
      const model = await run(TE.fromEither(modelOf(pipeline, { size: e.data.size, dropout: dropoutOf(e) })))
      const graphs = await run(TE.fromEither(graphsOf(document)))
      const valuesOf = async (component: 'unet' | 'firstStage'): Promise<Values> => {
        const graph = graphs[component]
        return graph === undefined ? {} : run(weightsOf(graph, component, weights))
      }
      const { diffusion, ...rest } = e
      const knowing = await run(TE.fromEither(taught(pipeline, diffusion?.adapter)))
      const held: Values = {
        ...(await valuesOf('unet')),
        ...(await run(textValues(document.conditioning.text, weights))),
      }
      return {
        experiment: {
          ...rest,
          firstStage: model.firstStage,
          ...(diffusion === undefined ? {} : { diffusion: { ...withoutAdapter(diffusion), ...model.diffusion } }),
        },
        ...(document.conditioning.text.length === 0
          ? {}
          : { tokens: readerOf(knowing.tokenizers, encodersIn(knowing)) }),
        scale: scaleOf(document),
        firstStage: await valuesOf('firstStage'),
        diffusion: held,
        begins: await run(TE.fromEither(beginsOf(pipeline, diffusion?.adapter, held))),
      }
    }),
  )
