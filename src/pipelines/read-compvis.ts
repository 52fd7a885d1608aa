import { type Checked, collect, type Effect, effect, fail, failure } from '../error.ts'
import { importCompVis } from '../experiment/import/compvis.ts'
import { processOf } from '../experiment/process.ts'
import type { PublishedModel } from '../experiment/published.ts'
import { noiseSchedule, type Schedule } from '../experiment/schedule.ts'
import { keyIn, type Naming } from '../io/load-report.ts'
import type { UnreadArray, UnreadArrays } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'
import { noiseScheduleFromCompVis } from '../schedulers/compvis.ts'
import { anything, decode, flag, integer, number, record, text, withDefault, word } from '../schema.ts'
import { matched } from './arrays.ts'
import { type Beside, type PipelineDocument, pipelineDocument } from './document.ts'
import { graphsOf } from './networks.ts'
import type { ReadModel } from './read-model.ts'

/** CompVis' own checkpoints with their configurations: `ldm.models.diffusion.ddpm.LatentDiffusion`. */

type Json = Readonly<Record<string, unknown>>
const isObject = (u: unknown): u is Json => typeof u === 'object' && u !== null && !Array.isArray(u)

/** What of the model's parameters concerns diffusion and its condition, and not its networks. */
const process = record(
  {},
  {
    beta_schedule: withDefault(text, 'linear'),
    timesteps: withDefault(integer({ min: 2 }), 1000),
    linear_start: withDefault(number(), 1e-4),
    linear_end: withDefault(number(), 2e-2),
    cosine_s: withDefault(number(), 8e-3),
    parameterization: withDefault(word(['eps', 'x0', 'v']), 'eps'),
    scale_factor: withDefault(number(), 1),
    use_ema: withDefault(flag, true),
    concat_mode: withDefault(flag, true),
    cond_stage_key: withDefault(text, 'image'),
    channels: withDefault(integer({ min: 1 }), 3),
  },
  { conditioning_key: anything },
)
const heeded = Object.keys(isObject(process.json.properties) ? process.json.properties : {})

const paramsOf = (document: Json): Json => {
  const model = isObject(document.model) ? document.model : document
  const params = isObject(model.params) ? model.params : model
  return Object.fromEntries(Object.entries(params).filter(([k, v]) => heeded.includes(k) && v !== null))
}

/** Which channels come beside x_t, by the key of the data that the condition is made of. */
const besides: Readonly<Record<string, (channels: number) => Beside>> = {
  LR_image: (channels) => ({ kind: 'low-resolution', channels }),
  masked_image: () => ({ kind: 'masked-latents' }),
}
/** Of those that Stable Diffusion's kinds have beside a text, by their number. */
const hybrids: Readonly<Record<number, Beside>> = {
  1: { kind: 'depth' },
  4: { kind: 'picture-latents' },
  5: { kind: 'mask-and-latents' },
}

const besideOf = (own: (typeof process)['_A'], m: PublishedModel, latents: number): Checked<Beside | null> => {
  const more = (m.unet?.inChannels ?? latents) - latents
  if (more === 0) return E.right(null)
  const found = besides[own.cond_stage_key]?.(more) ?? (own.cond_stage_key === 'txt' ? hybrids[more] : undefined)
  return found === undefined
    ? fail(
        'config',
        '/model/params/cond_stage_key',
        `${Object.keys(besides).join(' | ')}, or txt with ${Object.keys(hybrids).join(', ')} further channels`,
        `${own.cond_stage_key} with ${more}`,
        'no picture can be drawn from this kind yet',
      )
    : E.right(found)
}

/** Where the parts of such a model lie in its checkpoint. */
const prefixes: { readonly [C in 'unet' | 'firstStage' | 'classes']: string } = {
  unet: 'model.diffusion_model.',
  firstStage: 'first_stage_model.',
  classes: 'cond_stage_model.',
}
const averages: Naming = { prefix: 'model_ema.', dotless: true }
const averageName = (name: string): string => keyIn(averages)(`diffusion_model.${name}`)

/** What a checkpoint holds beside its networks, and the configuration says too. */
const derived =
  /^(betas|alphas_cumprod(_prev)?|sqrt_.*|log_one_minus_alphas_cumprod|posterior_.*|lvlb_weights|logvar|scale_factor|model_ema\.(decay|num_updates))$/

/** What a checkpoint says of itself, which wins over its configuration. */
interface Buffers {
  readonly scale: number | undefined
  readonly alphasCumprod: readonly number[] | undefined
}
const numbersOf = (array: UnreadArray | undefined): Effect<readonly number[] | undefined> =>
  array === undefined
    ? TE.right(undefined)
    : pipe(
        array.read,
        TE.map(({ data }) => Array.from<number | bigint, number>(data, Number)),
      )

/** The alpha-bars of a schedule as a checkpoint in float32 has them. */
const ownAlphas = (schedule: Schedule): Checked<readonly number[]> =>
  pipe(
    processOf(schedule),
    E.map((made) => made.schedule?.alphasCumprod.map(Math.fround) ?? []),
  )

const documentOf = (
  config: Json,
  { scale, alphasCumprod }: Buffers,
): Checked<{ document: PipelineDocument; useEma: boolean }> =>
  pipe(
    E.Do,
    E.bind('own', () => decode(process, { base: '/model/params' })(paramsOf(config))),
    E.bind('published', () => importCompVis(config)),
    E.bind('schedule', ({ own }) =>
      pipe(
        noiseScheduleFromCompVis(own),
        // Of the reverse step, which its samplers do not take.
        E.flatMap(({ vPosterior: _, ...declared }) => decode(noiseSchedule)(declared)),
      ),
    ),
    E.bind('alphas', ({ schedule }) => ownAlphas(schedule)),
    E.bind('beside', ({ own, published }) => besideOf(own, published, published.autoencoder.latentChannels)),
    E.bind('document', ({ own, published, schedule, beside, alphas }) => {
      const differ = alphasCumprod?.some((a, i) => Math.abs(a - (alphas[i] ?? 0)) > 1e-6 * a) ?? false
      const { autoencoder: network, codebook, unet, conditioning } = published
      const classes = conditioning?.kind === 'classes' ? { entries: conditioning.classes, dim: conditioning.dim } : null
      return conditioning?.kind === 'notBuilt'
        ? fail('config', '/model/params/cond_stage_config/target', 'an encoder that is known', conditioning.target)
        : decode(pipelineDocument)({
            model: 'latent diffusion',
            firstStage: {
              ...(codebook === undefined ? { kind: 'kl' } : { kind: 'vq', entries: codebook }),
              network,
              scale: scale ?? own.scale_factor,
            },
            unet,
            predicts: own.parameterization,
            conditioning: { classes, beside },
            sampling: { by: 'compvis', schedule, ...(differ ? { alphasCumprod } : {}) },
          })
    }),
    E.map(({ document, own }) => ({ document, useEma: own.use_ema })),
  )

/** A checkpoint's arrays with its configuration as a model that can be drawn from. Errors: `config`, `file`. */
export const readCompVis = (path: string, config: unknown, found: UnreadArrays): Effect<ReadModel> =>
  effect(async (run) => {
    if (!isObject(config)) return run(TE.left([failure('config', path, 'a configuration', 'no object')]))
    const [scale] = (await run(numbersOf(found.scale_factor))) ?? []
    const alphasCumprod = await run(numbersOf(found.alphas_cumprod))
    const { document, useEma } = await run(TE.fromEither(documentOf(config, { scale, alphasCumprod })))
    const averaged = useEma && Object.keys(found).some((key) => key.startsWith(averages.prefix))
    const graphs = await run(TE.fromEither(graphsOf(document)))
    const parts = await run(
      TE.fromEither(
        collect(
          Object.entries(graphs).map(([component, graph]) => {
            const prefix = Object.entries(prefixes).find(([name]) => name === component)?.[1] ?? ''
            const keyOf = component === 'unet' && averaged ? averageName : (name: string) => prefix + name
            return pipe(
              matched(graph, (name) => ({ key: keyOf(name) }), found, path),
              E.map((of) => ({ component, ...of })),
            )
          }),
        ),
      ),
    )
    const used = new Set(parts.flatMap((part) => part.used))
    const ignored = (key: string): boolean =>
      derived.test(key) || (averaged ? key.startsWith(prefixes.unet) : key.startsWith(averages.prefix))
    return {
      document,
      tokenizers: [],
      folders: {},
      weights: Object.fromEntries(parts.map(({ component, arrays }) => [component, arrays])),
      leftOver: Object.keys(found).filter((key) => !used.has(key) && !ignored(key)),
      remarks: [
        ...(averaged ? ['the U-Net from its averages (use_ema)'] : []),
        ...(document.sampling.by === 'compvis' && document.sampling.alphasCumprod !== null
          ? ['levels of noise as the checkpoint has them, rounded']
          : []),
        ...(scale === undefined ? [] : [`latents are scaled by ${scale}, as the checkpoint has it`]),
      ],
    }
  })
