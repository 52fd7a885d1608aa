import { join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import type { UnreadArrays } from '../io/stored.ts'
import type { Layout } from '../nn/layout.ts'
import { clipTextOf } from '../nn/text/clip-config.ts'
import { clipBareNames, clipFileNames } from '../nn/text/clip-names.ts'
import { E, pipe, TE, t } from '../prelude.ts'
import {
  attentionNamesIn,
  autoencoderNames,
  diffusersAutoencoderKl,
  diffusersTinyAutoencoder,
  diffusersUNet,
  diffusersVqModel,
  toTheirs,
  unetNames,
  type VectorLayers,
} from '../published/diffusers/index.ts'
import { otherFamily } from '../published/families.ts'
import { schedulerConfig } from '../samplers/diffusers/config.ts'
import { schedulerNames } from '../samplers/diffusers/schedulers.ts'
import { decode, didYouMean } from '../schema.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { clipTokenizer, readTokenizer } from '../text/tokenizer-files.ts'
import { matched } from './arrays.ts'
import { namesIn, readJson, withComponent } from './component-files.ts'
import {
  type Beside,
  type FirstStage,
  firstStage,
  type PipelineDocument,
  type PipelineSampling,
  pipelineDocument,
} from './document.ts'
import { factorOf } from './first-stage.ts'
import { graphsOf } from './networks.ts'
import type { ReadModel } from './read-model.ts'
import type { Component, Weights } from './weights.ts'

/** Folders of diffusers: `model_index.json`, and a folder for each component. */

type Json = Readonly<Record<string, unknown>>
const isJson = t.UnknownRecord.is

/** Pipelines whose networks are built here, by what they are called, and the model that each is of. */
const pipelines: Readonly<Record<string, string>> = {
  StableDiffusionPipeline: 'Stable Diffusion',
  StableDiffusionImg2ImgPipeline: 'Stable Diffusion',
  StableDiffusionInpaintPipeline: 'Stable Diffusion inpainting',
  StableDiffusionDepth2ImgPipeline: 'Stable Diffusion depth',
  StableDiffusionInstructPix2PixPipeline: 'InstructPix2Pix',
  StableDiffusionControlNetPipeline: 'Stable Diffusion',
  StableDiffusionXLPipeline: 'Stable Diffusion XL',
  StableDiffusionXLImg2ImgPipeline: 'Stable Diffusion XL',
  StableDiffusionXLInpaintPipeline: 'Stable Diffusion XL inpainting',
}

/** Which channels lie beside x_t, by how many more a U-Net takes than the latents have. */
export const besideChannels: Readonly<Record<number, Beside | null>> = {
  0: null,
  1: { kind: 'depth' },
  4: { kind: 'picture-latents' },
  5: { kind: 'mask-and-latents' },
}

const classOf = (index: Json, component: string): string | undefined => {
  const found = index[component]
  return Array.isArray(found) && typeof found[1] === 'string' ? found[1] : undefined
}

/** Options that a scheduler's file may have and no number depends on. */
export const readScheduler = (document: unknown, path: string): Checked<PipelineSampling> => {
  if (!isJson(document)) return fail('file', path, 'an object', 'another')
  const { _class_name: name } = document
  if (typeof name !== 'string' || !schedulerNames.includes(name))
    return fail(
      'config',
      `${path}: /_class_name`,
      schedulerNames.join(' | '),
      JSON.stringify(name) ?? 'nothing',
      typeof name === 'string' ? didYouMean(name, schedulerNames) : undefined,
    )
  const known = isJson(schedulerConfig.json.properties) ? Object.keys(schedulerConfig.json.properties) : []
  const own = Object.entries(document).filter(([key, value]) => known.includes(key) && value !== null)
  return pipe(
    Object.fromEntries(own),
    decode(schedulerConfig, { base: path }),
    E.map((config) => ({ by: 'diffusers', scheduler: name, config })),
  )
}

const predictions = { epsilon: 'eps', sample: 'x0', v_prediction: 'v', flow_prediction: 'flow' } as const

const firstStages: Readonly<Record<string, (document: unknown, base: string) => Checked<unknown>>> = {
  AutoencoderKL: (document, base) =>
    pipe(
      diffusersAutoencoderKl(document, base),
      E.map(({ config: { autoencoder, scalingFactor, shiftFactor } }) => ({
        kind: 'kl',
        network: autoencoder,
        scale: scalingFactor,
        shift: shiftFactor,
      })),
    ),
  VQModel: (document, base) =>
    pipe(
      diffusersVqModel(document, base),
      E.map(({ config: { autoencoder, scalingFactor, codebook } }) => ({
        kind: 'vq',
        network: autoencoder,
        entries: codebook,
        scale: scalingFactor,
      })),
    ),
  AutoencoderTiny: (document, base) =>
    pipe(
      diffusersTinyAutoencoder(document, base),
      E.map(({ config }) => ({
        kind: 'tiny',
        network: config.tiny,
        scale: config.scalingFactor,
        shift: config.shiftFactor,
      })),
    ),
}

const chosen = <A>(table: Readonly<Record<string, A>>, name: string | undefined, at: string): Checked<A> => {
  const found = name !== undefined && Object.hasOwn(table, name) ? table[name] : undefined
  return found === undefined
    ? fail('config', at, Object.keys(table).join(' | '), JSON.stringify(name) ?? 'nothing')
    : E.right(found)
}

/** What a pipeline's model is. Errors (`config`): one that is not built, by the name of its family. */
const modelOf = (name: string | undefined, at: string): Checked<string> => {
  const family = name === undefined || Object.hasOwn(pipelines, name) ? undefined : otherFamily(name)
  return family === undefined
    ? chosen(pipelines, name, at)
    : fail('config', at, Object.keys(pipelines).join(' | '), `${name}: ${family}, which is not built`)
}

/** The first stage that a configuration declares, by its class. */
export const readFirstStage = (document: unknown, path: string): Checked<FirstStage> =>
  pipe(
    chosen(
      firstStages,
      isJson(document) && typeof document._class_name === 'string' ? document._class_name : undefined,
      `${path}: /_class_name`,
    ),
    E.flatMap((read) => read(document, path)),
    E.flatMap(decode(firstStage)),
  )

/** Schedulers of models that were distilled to draw in few steps, and without guidance: consistency models, and the turbo kinds. */
const usual = (sampling: PipelineSampling, xl: boolean): { readonly steps: number; readonly guidance: number } => {
  const few =
    sampling.by === 'diffusers' &&
    (sampling.scheduler === 'LCMScheduler' ||
      (sampling.scheduler.startsWith('Euler') &&
        sampling.config.timestep_spacing === 'trailing' &&
        sampling.config.prediction_type === 'epsilon'))
  return few ? { steps: 4, guidance: 1 } : { steps: 30, guidance: xl ? 5 : 7.5 }
}

interface Configured {
  readonly document: PipelineDocument
  readonly vectorLayers: VectorLayers | undefined
  /** Folders of tokenizers. */
  readonly folders: Readonly<Record<string, string>>
}

const textComponents = [
  { encoder: 'text_encoder', tokenizer: 'tokenizer' },
  { encoder: 'text_encoder_2', tokenizer: 'tokenizer_2' },
] as const

/** What the configurations of a folder declare. Errors: `config`, `file`. */
export const configuredBy = (folder: string): Effect<Configured> =>
  effect(async (run) => {
    const at = (...parts: readonly string[]): string => join(folder, ...parts)
    const index = await run(readJson(at('model_index.json')))
    if (!isJson(index)) return run(TE.fromEither(fail('file', at('model_index.json'), 'an object', 'another')))
    const name = typeof index._class_name === 'string' ? index._class_name : undefined
    const model = await run(TE.fromEither(modelOf(name, `${at('model_index.json')}: /_class_name`)))
    const { config: network } = await run(
      TE.fromEither(diffusersUNet(await run(readJson(at('unet', 'config.json'))), at('unet', 'config.json'))),
    )
    const stage = await run(
      TE.fromEither(readFirstStage(await run(readJson(at('vae', 'config.json'))), at('vae', 'config.json'))),
    )
    const scheduler = at('scheduler', 'scheduler_config.json')
    const sampling = await run(TE.fromEither(readScheduler(await run(readJson(scheduler)), scheduler)))
    const texts = textComponents.filter(({ encoder }) => classOf(index, encoder) !== undefined)
    const xl = network.timeIdDim !== undefined
    const parts: unknown[] = []
    for (const { encoder, tokenizer } of texts) {
      const path = at(encoder, 'config.json')
      const config = await run(TE.fromEither(clipTextOf(await run(readJson(path)), path)))
      parts.push({
        encoder: { kind: 'clip', config },
        tokenizer: { from: 'folder', name: tokenizer },
        ...(xl ? { skip: 1, normalized: false } : {}),
        pooled: xl && encoder === texts.at(-1)?.encoder,
      })
    }
    const more = network.unet.inChannels - stage.network.latentChannels
    const beside = besideChannels[more]
    if (beside === undefined)
      return run(
        TE.fromEither(
          fail(
            'config',
            at('unet', 'config.json'),
            `${Object.keys(besideChannels).join(', ')} channels beside the latents`,
            `${more}`,
          ),
        ),
      )
    const document = await run(
      TE.fromEither(
        decode(pipelineDocument)({
          model,
          firstStage: stage,
          unet: network.unet,
          side:
            network.sampleSize ??
            (stage.kind === 'tiny' ? 64 : Math.max(1, Math.floor(stage.network.resolution / factorOf(stage)))),
          predicts: sampling.by === 'diffusers' ? predictions[sampling.config.prediction_type] : 'eps',
          conditioning: {
            text: parts,
            beside,
            sizes: network.timeIdDim === undefined ? null : { dim: network.timeIdDim },
            zerosForNothing: index.force_zeros_for_empty_prompt === true,
          },
          sampling,
          ...usual(sampling, xl),
        }),
      ),
    )
    return {
      document,
      vectorLayers: network.vectorLayers,
      folders: Object.fromEntries(texts.map(({ tokenizer }) => [tokenizer, at(tokenizer)])),
    }
  })

/** The tokenizers of a model's encoders. Errors: `file`. */
export const tokenizersOf = (
  { conditioning }: PipelineDocument,
  folders: Readonly<Record<string, string>>,
): Effect<readonly Tokenizer[]> =>
  pipe(
    conditioning.text,
    TE.traverseSeqArray(({ tokenizer, encoder }) =>
      tokenizer.from === 'folder'
        ? readTokenizer(folders[tokenizer.name] ?? tokenizer.name, { positions: encoder.config.positions })
        : clipTokenizer({
            positions: encoder.config.positions,
            cleaning: tokenizer.cleaning,
            ...(tokenizer.pad === null ? {} : { pad: tokenizer.pad }),
          }),
    ),
  )

/** How files of diffusers name a first stage's arrays. */
export const firstStageLayout = (stage: FirstStage, keys: readonly string[]): Layout =>
  stage.kind === 'tiny' ? (name) => ({ key: name }) : toTheirs(autoencoderNames(stage.network, attentionNamesIn(keys)))

/** How a folder's files name the arrays of a component. */
const layoutOf = ({ document, vectorLayers }: Configured, component: Component, found: UnreadArrays): Layout => {
  const keys = Object.keys(found)
  if (component === 'unet') return toTheirs(unetNames(document.unet, vectorLayers))
  if (component !== 'firstStage')
    return keys.some((key) => key.startsWith('text_model.')) ? clipFileNames : clipBareNames
  return firstStageLayout(document.firstStage, keys)
}

/** Where the components of a model lie in its folder. */
const folderOf = (component: string): string =>
  component === 'firstStage'
    ? 'vae'
    : component === 'unet'
      ? 'unet'
      : (textComponents[Number(component.split('.')[1])]?.encoder ?? component)

/** Of the position of each token, which is its number. */
const counted = /(^|\.)position_ids$/

/** Opens a folder's components one in the other. */
const withAll = <A>(
  folder: string,
  variant: string | undefined,
  configured: Configured,
  graphs: readonly (readonly [string, Graph])[],
  use: (weights: Weights, leftOver: readonly string[]) => Effect<A>,
): Effect<A> => {
  const from = (at: number, weights: Weights, leftOver: readonly string[]): Effect<A> => {
    const [component, graph] = graphs[at] ?? []
    if (component === undefined || graph === undefined) return use(weights, leftOver)
    const path = join(folder, folderOf(component))
    return withComponent(path, variant, (found) =>
      pipe(
        TE.fromEither(matched(graph, layoutOf(configured, asComponent(component), found), found, path)),
        TE.flatMap(({ arrays, used }) => {
          const known = new Set(used)
          const left = Object.keys(found).filter((key) => !known.has(key) && !counted.test(key))
          return from(at + 1, { ...weights, [component]: arrays }, [
            ...leftOver,
            ...left.map((key) => `${path}: ${key}`),
          ])
        }),
      ),
    )
  }
  return from(0, {}, [])
}
const asComponent = (name: string): Component =>
  name === 'unet' || name === 'firstStage' ? name : `text.${Number(name.split('.')[1])}`

/** Opens a folder of diffusers for as long as `use` takes. Errors: `config`, `file`. */
export const withDiffusers = <A>(
  folder: string,
  variant: string | undefined,
  use: (model: ReadModel) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    const configured = await run(configuredBy(folder))
    const graphs = await run(TE.fromEither(graphsOf(configured.document)))
    const tokenizers = await run(tokenizersOf(configured.document, configured.folders))
    return run(
      withAll(folder, variant, configured, Object.entries(graphs), (weights, leftOver) =>
        use({
          document: configured.document,
          weights,
          tokenizers,
          folders: configured.folders,
          leftOver,
          remarks: [],
        }),
      ),
    )
  })

/** Whether a path is such a folder. */
export const isDiffusersFolder = (path: string): Effect<boolean> =>
  pipe(
    namesIn(path),
    TE.map((names) => names.includes('model_index.json')),
    TE.orElse(() => TE.right(false)),
  )
