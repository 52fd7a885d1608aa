import { join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import { positionsOf } from '../experiment/text-encoders.ts'
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
  diffusersUNet2d,
  diffusersVqModel,
  toTheirs,
  unet2dNames,
  unetNames,
  type VectorLayers,
} from '../published/diffusers/index.ts'
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
  type Networked,
  networked,
  type PipelineDocument,
  type PipelineSampling,
  pipelineDocument,
} from './document.ts'
import { factorOf, latentChannels } from './first-stage.ts'
import { hasIndex, readModelIndex } from './model-index.ts'
import { graphsOf } from './networks.ts'
import type { ReadModel } from './read-model.ts'
import type { Component, Weights } from './weights.ts'

/** Folders of diffusers: `model_index.json`, and a folder for each component. */

const isJson = t.UnknownRecord.is

/** Which channels lie beside x_t, by how many more a U-Net takes than the latents have. */
export const besideChannels: Readonly<Record<number, Beside | null>> = {
  0: null,
  1: { kind: 'depth' },
  4: { kind: 'picture-latents' },
  5: { kind: 'mask-and-latents' },
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

const unets = { UNet2DConditionModel: diffusersUNet, UNet2DModel: diffusersUNet2d }
/** The U-Net that a configuration declares, by its class. */
const readUNet = (document: unknown, path: string) =>
  pipe(
    chosen(
      unets,
      isJson(document) && typeof document._class_name === 'string' ? document._class_name : undefined,
      `${path}: /_class_name`,
    ),
    E.flatMap((read) => read(document, path)),
    E.map(({ config }) => config),
  )

/** The first stage that a configuration declares, by its class. */
export const readFirstStage = (document: unknown, path: string): Checked<Networked> =>
  pipe(
    chosen(
      firstStages,
      isJson(document) && typeof document._class_name === 'string' ? document._class_name : undefined,
      `${path}: /_class_name`,
    ),
    E.flatMap((read) => read(document, path)),
    E.flatMap(decode(networked)),
  )

/** Steps of pipelines that draw by nothing: DDPM takes them all. */
const usualWithoutTexts = (sampling: PipelineSampling): { readonly steps: number; readonly guidance: number } => ({
  steps:
    sampling.by === 'diffusers' && sampling.scheduler === 'DDPMScheduler' ? sampling.config.num_train_timesteps : 50,
  guidance: 1,
})

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
  readonly unetFolder: string
  /** Of the first stage, where there is one. */
  readonly stageFolder: string
  /** Folders of the encoders of texts, in their order. */
  readonly encoders: readonly string[]
  /** Folders of tokenizers. */
  readonly folders: Readonly<Record<string, string>>
  /** What of the folder is not read, for people. */
  readonly remarks: readonly string[]
}

/** What the configurations of a folder declare. Errors: `config`, `file`. */
export const configuredBy = (folder: string): Effect<Configured> =>
  effect(async (run) => {
    const at = (...parts: readonly string[]): string => join(folder, ...parts)
    const {
      model,
      texts,
      firstStage: stageFolder,
      places,
      aesthetic,
      zerosForNothing,
      notRead,
    } = await run(readModelIndex(folder))
    const network = await run(
      TE.fromEither(readUNet(await run(readJson(at(places.unet, 'config.json'))), at(places.unet, 'config.json'))),
    )
    const stage: FirstStage =
      stageFolder === undefined
        ? { kind: 'pixels', channels: network.unet.outChannels }
        : await run(
            TE.fromEither(
              readFirstStage(await run(readJson(at(stageFolder, 'config.json'))), at(stageFolder, 'config.json')),
            ),
          )
    const scheduler = at(places.scheduler, 'scheduler_config.json')
    const sampling = await run(TE.fromEither(readScheduler(await run(readJson(scheduler)), scheduler)))
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
    const more = network.unet.inChannels - latentChannels(stage)
    const beside = besideChannels[more]
    if (beside === undefined)
      return run(
        TE.fromEither(
          fail(
            'config',
            at(places.unet, 'config.json'),
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
            (stage.kind === 'tiny' || stage.kind === 'pixels'
              ? 64
              : Math.max(1, Math.floor(stage.network.resolution / factorOf(stage)))),
          predicts: sampling.by === 'diffusers' ? predictions[sampling.config.prediction_type] : 'eps',
          conditioning: {
            text: parts,
            beside,
            sizes: network.timeIdDim === undefined ? null : { dim: network.timeIdDim, aesthetic },
            zerosForNothing,
          },
          sampling,
          ...(texts.length === 0 ? usualWithoutTexts(sampling) : usual(sampling, xl)),
        }),
      ),
    )
    return {
      document,
      vectorLayers: network.vectorLayers,
      unetFolder: places.unet,
      stageFolder: stageFolder ?? 'vae',
      encoders: texts.map(({ encoder }) => encoder),
      folders: Object.fromEntries(texts.map(({ tokenizer }) => [tokenizer, at(tokenizer)])),
      remarks: notRead,
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
        ? readTokenizer(folders[tokenizer.name] ?? tokenizer.name, { positions: positionsOf(encoder) })
        : clipTokenizer({
            positions: positionsOf(encoder),
            cleaning: tokenizer.cleaning,
            ...(tokenizer.pad === null ? {} : { pad: tokenizer.pad }),
          }),
    ),
  )

/** How files of diffusers name a first stage's arrays. */
export const firstStageLayout = (stage: Networked, keys: readonly string[]): Layout =>
  stage.kind === 'tiny' ? (name) => ({ key: name }) : toTheirs(autoencoderNames(stage.network, attentionNamesIn(keys)))

/** How a folder's files name the arrays of a component. */
const layoutOf = ({ document, vectorLayers }: Configured, component: Component, found: UnreadArrays): Layout => {
  const keys = Object.keys(found)
  if (component === 'unet')
    return toTheirs(
      document.unet.attention.kind === 'self'
        ? unet2dNames(document.unet, attentionNamesIn(keys))
        : unetNames(document.unet, vectorLayers),
    )
  if (component !== 'firstStage')
    return keys.some((key) => key.startsWith('text_model.')) ? clipFileNames : clipBareNames
  return document.firstStage.kind === 'pixels' ? (name) => ({ key: name }) : firstStageLayout(document.firstStage, keys)
}

/** Where the components of a model lie in its folder. */
const folderOf = ({ encoders, stageFolder, unetFolder }: Configured, component: string): string =>
  component === 'firstStage'
    ? stageFolder
    : component === 'unet'
      ? unetFolder
      : (encoders[Number(component.split('.')[1])] ?? component)

/** Of the position of each token, which is its number. */
const counted = /(^|\.)position_ids$/

/** What is found of all components, while their files are open. */
interface Opened {
  readonly weights: Weights
  readonly leftOver: readonly string[]
  readonly remarks: readonly string[]
  /** The variant that the files of each folder are of. */
  readonly variants: readonly (readonly [folder: string, variant: string | undefined])[]
}

/** What is to be said of variants. Errors (`usage`): one that no component has. */
const variantRemarks = (asked: string | undefined, { variants }: Opened): Checked<readonly string[]> => {
  const others = variants.filter(([, variant]) => variant !== asked)
  const folders = others.map(([folder]) => folder).join(', ')
  if (others.length === 0) return E.right([])
  if (asked === undefined) return E.right([`of the variant ${others[0]?.[1]}, as there are no other files: ${folders}`])
  return others.length < variants.length
    ? E.right([`no files of the variant ${asked}, so those of none are taken: ${folders}`])
    : fail('usage', '--variant', 'a variant that files of the folder are of', asked)
}

/** Opens a folder's components one in the other. */
const withAll = <A>(
  folder: string,
  variant: string | undefined,
  configured: Configured,
  graphs: readonly (readonly [string, Graph])[],
  use: (opened: Opened) => Effect<A>,
): Effect<A> => {
  const from = (at: number, before: Opened): Effect<A> => {
    const [component, graph] = graphs[at] ?? []
    if (component === undefined || graph === undefined)
      return pipe(
        TE.fromEither(variantRemarks(variant, before)),
        TE.flatMap((remarks) => use({ ...before, remarks: [...before.remarks, ...remarks] })),
      )
    const own = folderOf(configured, component)
    const path = join(folder, own)
    return withComponent(path, variant, (open) =>
      pipe(
        TE.fromEither(matched(graph, layoutOf(configured, asComponent(component), open.arrays), open.arrays, path)),
        TE.flatMap(({ arrays, used }) => {
          const known = new Set(used)
          const left = Object.keys(open.arrays).filter((key) => !known.has(key) && !counted.test(key))
          return from(at + 1, {
            weights: { ...before.weights, [component]: arrays },
            leftOver: [...before.leftOver, ...left.map((key) => `${path}: ${key}`)],
            remarks: [...before.remarks, ...open.remarks],
            variants: [...before.variants, [own, open.variant]],
          })
        }),
      ),
    )
  }
  return from(0, { weights: {}, leftOver: [], remarks: configured.remarks, variants: [] })
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
      withAll(folder, variant, configured, Object.entries(graphs), ({ variants: _, ...opened }) =>
        use({ document: configured.document, tokenizers, folders: configured.folders, ...opened }),
      ),
    )
  })

/** Whether a path is such a folder. */
export const isDiffusersFolder = (path: string): Effect<boolean> =>
  pipe(
    namesIn(path),
    TE.map(hasIndex),
    TE.orElse(() => TE.right(false)),
  )
