import { join } from 'node:path'
import { type Checked, collect, type Effect, effect, fail } from '../error.ts'
import { E, pipe, TE, t } from '../prelude.ts'
import { otherFamily } from '../published/families.ts'
import { didYouMean } from '../schema.ts'
import { namesIn, readJson } from './component-files.ts'

/** `model_index.json`: which components a folder of diffusers has. */

interface Known {
  readonly model: string
  /** How many encoders of texts it has. */
  readonly texts: 0 | 1 | 2
  /** The component that its first stage is; none where it draws pictures as they are. */
  readonly firstStage: 'vae' | 'vqvae' | undefined
}
const stable = { model: 'Stable Diffusion', texts: 1, firstStage: 'vae' } as const
const xl = { ...stable, model: 'Stable Diffusion XL', texts: 2 } as const
const pixels = { model: 'DDPM', texts: 0, firstStage: undefined } as const
/** Pipelines whose networks are built here, by what they are called. */
const pipelines: Readonly<Record<string, Known>> = {
  StableDiffusionPipeline: stable,
  StableDiffusionImg2ImgPipeline: stable,
  StableDiffusionInpaintPipeline: { ...stable, model: 'Stable Diffusion inpainting' },
  StableDiffusionDepth2ImgPipeline: { ...stable, model: 'Stable Diffusion depth' },
  StableDiffusionInstructPix2PixPipeline: { ...stable, model: 'InstructPix2Pix' },
  StableDiffusionControlNetPipeline: stable,
  StableDiffusionXLPipeline: xl,
  StableDiffusionXLImg2ImgPipeline: xl,
  StableDiffusionXLInpaintPipeline: { ...xl, model: 'Stable Diffusion XL inpainting' },
  DDPMPipeline: pixels,
  DDIMPipeline: pixels,
  PNDMPipeline: pixels,
  LDMPipeline: { model: 'latent diffusion', texts: 0, firstStage: 'vqvae' },
}

/** What a pipeline is. Errors (`config`): one that is not built, by the name of its family. */
const knownOf = (name: unknown, at: string): Checked<Known> => {
  const found = typeof name === 'string' && Object.hasOwn(pipelines, name) ? pipelines[name] : undefined
  if (found !== undefined) return E.right(found)
  const family = typeof name === 'string' ? otherFamily(name) : undefined
  const names = Object.keys(pipelines)
  return fail(
    'config',
    at,
    names.join(' | '),
    family === undefined ? (JSON.stringify(name) ?? 'nothing') : `${name}: ${family}, which is not built`,
    family === undefined && typeof name === 'string' ? didYouMean(name, names) : undefined,
  )
}

/** Encoders of texts and their tokenizers, by their places. */
export const textComponents = [
  { encoder: 'text_encoder', tokenizer: 'tokenizer' },
  { encoder: 'text_encoder_2', tokenizer: 'tokenizer_2' },
] as const

/** What else a folder may list, and what there is to say of it. */
const beside: Readonly<Record<string, string>> = {
  safety_checker: 'no picture is looked at',
  controlnet: 'sample RUN --control PATH draws with it',
}

const Listed = t.readonlyArray(t.unknown)
/** The class that a component is listed with; none where it is `[null, null]`. */
const classOf = (entry: unknown): string | undefined =>
  Listed.is(entry) && typeof entry[1] === 'string' ? entry[1] : undefined

export interface ModelIndex {
  readonly model: string
  readonly firstStage: Known['firstStage']
  /** Where the U-Net and the scheduler lie: in folders of their names, or of a model without a first stage beside the index. */
  readonly places: { readonly unet: string; readonly scheduler: string }
  readonly texts: readonly (typeof textComponents)[number][]
  /** Whether it is told how pleasing pictures are: a refiner of XL, which has the second encoder alone. */
  readonly aesthetic: boolean
  /** Whether no negative text is zeros. */
  readonly zerosForNothing: boolean
  /** Components that are listed and not read, for people. */
  readonly notRead: readonly string[]
}

const indexFile = 'model_index.json'
export const hasIndex = (names: readonly string[]): boolean => names.includes(indexFile)

/** Reads a folder's index, and looks for the folders of its components. Errors: `config`, `file`. */
export const readModelIndex = (folder: string): Effect<ModelIndex> =>
  effect(async (run) => {
    const path = join(folder, indexFile)
    const index = await run(readJson(path))
    if (!t.UnknownRecord.is(index)) return run(TE.fromEither(fail('file', path, 'an object', 'another')))
    const {
      model,
      texts: count,
      firstStage,
    } = await run(TE.fromEither(knownOf(index._class_name, `${path}: /_class_name`)))
    const names = await run(namesIn(folder))
    const aesthetic = count === 2 && index.requires_aesthetics_score === true
    const texts = aesthetic ? textComponents.slice(1) : textComponents.slice(0, count)
    const besideIndex = (component: string): boolean =>
      firstStage === undefined &&
      !names.includes(component) &&
      names.includes(component === 'scheduler' ? 'scheduler_config.json' : 'config.json')
    const placeOf = (component: 'unet' | 'scheduler'): string => (besideIndex(component) ? '' : component)
    const needed = [
      ...['unet', ...(firstStage === undefined ? [] : [firstStage]), 'scheduler'],
      ...texts.flatMap(({ encoder, tokenizer }) => [encoder, tokenizer]),
    ]
    await run(
      pipe(
        needed.map(
          (component): Checked<unknown> =>
            classOf(index[component]) === undefined
              ? fail(
                  'config',
                  `${path}: /${component}`,
                  'the class of a component that is drawn with',
                  JSON.stringify(index[component]) ?? 'nothing',
                )
              : names.includes(component) || besideIndex(component)
                ? E.right(component)
                : fail('file', join(folder, component), `a folder, as ${indexFile} lists it`, 'nothing there'),
        ),
        collect,
        TE.fromEither,
      ),
    )
    return {
      model: aesthetic ? `${model} refiner` : model,
      firstStage,
      places: { unet: placeOf('unet'), scheduler: placeOf('scheduler') },
      texts,
      aesthetic,
      zerosForNothing: index.force_zeros_for_empty_prompt === true,
      notRead: Object.entries(index).flatMap(([name, entry]) => {
        const found = needed.includes(name) ? undefined : classOf(entry)
        const why = Object.hasOwn(beside, name) ? beside[name] : undefined
        return found === undefined ? [] : [`${name} (${found}) is not read${why === undefined ? '' : `: ${why}`}`]
      }),
    }
  })
