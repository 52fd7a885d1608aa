import { type Checked, collect, fail } from '../error.ts'
import type { UnwrittenArrays } from '../io/safetensors-writer.ts'
import { clipTextDocument } from '../nn/text/clip-config.ts'
import { clipFileNames } from '../nn/text/clip-names.ts'
import { E, pipe } from '../prelude.ts'
import {
  autoencoderDocument,
  autoencoderNames,
  tinyDocument,
  toTheirs,
  unet2dDocument,
  unet2dNames,
  unetDocument,
  unetNames,
  type VectorLayers,
} from '../published/diffusers/index.ts'
import type { Beside, Networked, PipelineDocument, TextPart } from './document.ts'
import { textComponents } from './model-index.ts'
import type { Pipeline } from './request.ts'
import type { Component } from './weights.ts'
import { schedulerDocument } from './write-scheduler.ts'
import { writtenIn } from './written-arrays.ts'

/** A published model as a folder of diffusers. */

type Json = Readonly<Record<string, unknown>>

type Model = Pick<Pipeline, 'document' | 'weights'>

/** A component's folder. */
interface Folder {
  readonly name: string
  readonly document: Json
  readonly arrays: UnwrittenArrays
  /** Of the arrays, without what says their format. */
  readonly file: 'diffusion_pytorch_model' | 'model'
}
export interface AsDiffusers {
  readonly index: Json
  readonly scheduler: Json
  readonly folders: readonly Folder[]
  /** Tokenizers by the folder that each is to lie in. */
  readonly tokenizers: Readonly<Record<string, TextPart['tokenizer']>>
  readonly remarks: readonly string[]
}

/** The layout of folders that is written: diffusers looks at it for what has changed since. */
const version = '0.35.0'
const absent = [null, null] as const

interface Kind {
  readonly name: string
  /** Of the index, beside the components that are there. */
  readonly fields: Json
}
const unchecked = { requires_safety_checker: false, safety_checker: absent, feature_extractor: absent }
const withEncoders = { feature_extractor: absent, image_encoder: absent }
type Kinds = { readonly [K in Beside['kind'] | 'none']?: Kind }
const kinds: Kinds = {
  none: { name: 'StableDiffusionPipeline', fields: { ...unchecked, image_encoder: absent } },
  'mask-and-latents': { name: 'StableDiffusionInpaintPipeline', fields: { ...unchecked, image_encoder: absent } },
  'picture-latents': {
    name: 'StableDiffusionInstructPix2PixPipeline',
    fields: { ...unchecked, image_encoder: absent },
  },
  depth: {
    name: 'StableDiffusionDepth2ImgPipeline',
    fields: { depth_estimator: absent, feature_extractor: absent },
  },
}
const xlKinds: Kinds = {
  none: { name: 'StableDiffusionXLPipeline', fields: withEncoders },
  'mask-and-latents': { name: 'StableDiffusionXLInpaintPipeline', fields: withEncoders },
}
const ofPixels: Kind = { name: 'DDPMPipeline', fields: {} }
const ofLatents: Kind = { name: 'LDMPipeline', fields: {} }
const refinerKinds: Kinds = {
  none: {
    name: 'StableDiffusionXLImg2ImgPipeline',
    fields: { ...withEncoders, requires_aesthetics_score: true, text_encoder: absent, tokenizer: absent },
  },
}

/** Whether it draws by nothing. */
const isUnconditional = ({ conditioning: c, unet }: PipelineDocument): boolean =>
  c.text.length === 0 && c.classes === null && c.boxes === null && c.beside === null && unet.classes === null

/** The pipeline that draws from such a model. Errors (`config`): none does. */
const kindOf = (document: PipelineDocument): Checked<Kind> => {
  const { text, classes, boxes, beside, sizes } = document.conditioning
  if (isUnconditional(document)) return E.right(document.firstStage.kind === 'pixels' ? ofPixels : ofLatents)
  const own = sizes === null ? kinds : sizes.aesthetic ? refinerKinds : xlKinds
  const found = own[beside?.kind ?? 'none']
  const count = sizes === null || sizes.aesthetic ? 1 : 2
  const told = [
    ...text.map(({ encoder }) => `a text by ${encoder.kind}`),
    ...(classes === null ? [] : ['a class']),
    ...(boxes === null ? [] : ['boxes']),
    ...(beside === null ? [] : [beside.kind]),
  ]
  return found === undefined || classes !== null || text.length !== count || text.some((t) => t.encoder.kind !== 'clip')
    ? fail(
        'config',
        '/conditioning',
        `${count === 1 ? 'a text' : 'a text by two encoders'} by CLIP, with ${Object.keys(own).join(', ')} beside: what pipelines of diffusers draw from`,
        told.join(', ') || 'no condition',
        '--as compvis writes it',
      )
    : E.right(found)
}

const firstStageFolder = (
  name: string,
  stage: Networked,
  found: Pipeline['weights'][string],
  half: boolean,
): Checked<Folder> => {
  const scaled = { scalingFactor: stage.scale, shiftFactor: stage.shift }
  return pipe(
    E.Do,
    E.bind('document', () =>
      stage.kind === 'tiny'
        ? E.right(tinyDocument({ tiny: stage.network, ...scaled }))
        : stage.kind === 'vq' && stage.shift !== 0
          ? fail('config', '/firstStage/shift', '0, as a VQModel has none', `${stage.shift}`)
          : autoencoderDocument({
              autoencoder: stage.network,
              ...scaled,
              ...(stage.kind === 'vq' ? { codebook: stage.entries } : {}),
            }),
    ),
    E.bind('arrays', () =>
      writtenIn(
        stage.kind === 'tiny' ? (name) => ({ key: name }) : toTheirs(autoencoderNames(stage.network)),
        found,
        half,
      ),
    ),
    E.map((made): Folder => ({ name, file: 'diffusion_pytorch_model', ...made })),
  )
}

const unetFolder = ({ document: d, weights }: Model, half: boolean): Checked<Folder> => {
  const { unet } = d
  const self = unet.attention.kind === 'self'
  const { sizes } = d.conditioning
  const vectorLayers: VectorLayers | undefined =
    unet.vector === undefined ? undefined : sizes === null ? 'class_embedding' : 'add_embedding'
  return pipe(
    E.Do,
    E.bind('document', () =>
      (self ? unet2dDocument : unetDocument)({
        unet,
        sampleSize: d.side,
        ...(vectorLayers === undefined ? {} : { vectorLayers }),
        ...(sizes === null ? {} : { timeIdDim: sizes.dim }),
      }),
    ),
    E.bind('arrays', () =>
      writtenIn(toTheirs(self ? unet2dNames(unet) : unetNames(unet, vectorLayers)), weights.unet ?? {}, half),
    ),
    E.map((made): Folder => ({ name: 'unet', file: 'diffusion_pytorch_model', ...made })),
  )
}

/** Folder of the k-th encoder of texts, and of its tokenizer: a refiner has the second alone. */
export const textFolderOf = ({ conditioning: { sizes } }: PipelineDocument, k: number) =>
  (sizes?.aesthetic === true ? textComponents.slice(1) : textComponents)[k]

/** Which state diffusers' pipelines tell: the last one normalised; of XL the one before the last, as it is. */
const textFolder = (
  part: TextPart,
  k: number,
  { document, weights }: Model,
  half: boolean,
): Checked<readonly Folder[]> => {
  const xl = document.conditioning.sizes !== null
  const at = `/conditioning/text/${k}`
  const name = textFolderOf(document, k)?.encoder
  if (part.encoder.kind !== 'clip' || name === undefined) return E.right([])
  const { config } = part.encoder
  const last = k === document.conditioning.text.length - 1
  const told = xl ? part.skip === 1 && !part.normalized : part.skip === 0 && part.normalized
  const pooled = part.pooled === (xl && last)
  const component: Component = `text.${k}`
  return !told
    ? fail(
        'config',
        `${at}/skip`,
        xl ? '1, not normalised' : '0, normalised',
        `${part.skip}${part.normalized ? ', normalised' : ''}`,
      )
    : !pooled
      ? fail('config', `${at}/pooled`, `${xl && last}`, `${part.pooled}`)
      : pipe(
          writtenIn(clipFileNames, weights[component] ?? {}, half),
          E.map((arrays) => [{ name, file: 'model', document: clipTextDocument(config), arrays }]),
        )
}

const remarksOf = ({ conditioning, sampling }: PipelineDocument): readonly string[] => [
  ...(conditioning.beside?.kind === 'depth'
    ? ['no estimator of depth is written: diffusers is to be given depth_map']
    : []),
  ...(sampling.by === 'compvis' && sampling.alphasCumprod !== null
    ? ["levels of noise are the schedule's: those of the checkpoint, which were rounded, have no place in a scheduler"]
    : []),
]

/** Errors: `config`, what diffusers has no place for; `file`, arrays without one. */
export const asDiffusers = (model: Model, half = false): Checked<AsDiffusers> => {
  const { document, weights } = model
  const { text, sizes, zerosForNothing } = document.conditioning
  const stageFolder = isUnconditional(document) ? 'vqvae' : 'vae'
  return pipe(
    E.Do,
    E.bind('kind', () => kindOf(document)),
    E.bind('scheduler', () => schedulerDocument(document)),
    E.bind('folders', () =>
      pipe(
        collect<readonly Folder[]>([
          pipe(
            unetFolder(model, half),
            E.map((f) => [f]),
          ),
          document.firstStage.kind === 'pixels'
            ? E.right([])
            : pipe(
                firstStageFolder(stageFolder, document.firstStage, weights.firstStage ?? {}, half),
                E.map((f) => [f]),
              ),
          ...text.map((part, k) => textFolder(part, k, model, half)),
        ]),
        E.map((all) => all.flat()),
      ),
    ),
    E.map(({ kind, scheduler, folders }) => {
      const classOf = ({ name, document: { _class_name, architectures } }: Folder): readonly [string, unknown] => [
        name,
        Array.isArray(architectures) ? ['transformers', architectures[0]] : ['diffusers', _class_name],
      ]
      const tokenizers = text.flatMap(({ tokenizer }, k) => {
        const name = textFolderOf(document, k)?.tokenizer
        return name === undefined ? [] : [[name, tokenizer] as const]
      })
      return {
        index: {
          _class_name: kind.name,
          _diffusers_version: version,
          ...kind.fields,
          ...(sizes === null ? {} : { force_zeros_for_empty_prompt: zerosForNothing }),
          scheduler: ['diffusers', scheduler._class_name],
          ...Object.fromEntries(folders.map(classOf)),
        },
        scheduler,
        folders,
        tokenizers: Object.fromEntries(tokenizers),
        remarks: remarksOf(document),
      }
    }),
  )
}
