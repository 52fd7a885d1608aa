import { boxLabels } from '../data/boxes.ts'
import { type Effect, effect, fail } from '../error.ts'
import { beginsOf, replaces } from '../pipelines/conditions.ts'
import type { ControlRequest } from '../pipelines/control.ts'
import type { PipelineDocument } from '../pipelines/document.ts'
import { factorOf } from '../pipelines/first-stage.ts'
import { type Pipeline, type Request, signed } from '../pipelines/request.ts'
import { pipe, TE } from '../prelude.ts'
import { promptIds } from '../text/prompt.ts'
import { readBoxes } from './boxes-option.ts'
import { promptsOf } from './from-files.ts'
import { boxesOption } from './option-names.ts'
import { nameOf, type PictureSource } from './picture-source.ts'
import type { Equipment } from './published-equipment.ts'
import { grey, type Place, readPublished, readPublishedMap, sizeOf } from './published-pictures.ts'

/** What a published model is asked, from the options of it. */

export interface PublishedSampling extends Equipment {
  readonly prompt?: readonly string[]
  readonly prompts?: string
  readonly negative?: string
  readonly class?: string
  readonly steps?: number
  readonly sampler?: string
  readonly eta?: number
  readonly guidance?: number
  readonly guidanceRescale?: number
  readonly pictureGuidance?: number
  readonly clipSkip?: number
  readonly weigh?: true
  readonly seed?: number
  readonly count?: number
  readonly size?: string
  readonly from?: PictureSource
  readonly strength?: number
  readonly aesthetic?: number
  readonly mask?: PictureSource
  readonly depth?: PictureSource
  readonly lowResolution?: PictureSource
  readonly labelMap?: PictureSource
  readonly boxes?: string
  readonly hint?: PictureSource
  readonly controlScale?: number
}

/** Of pictures that are changed where nothing else is said, as of one's own models. */
const usualStrength = 0.75
const usualPictureGuidance = 1.5
/** Of pictures that are refined, as diffusers has it. */
const usualRefinement = 0.3

/** Pictures of each kind where nothing is said. */
export const usualCount = 4

/** Pixels that a side must be a multiple of: what the first stage makes smaller, and the U-Net after it. */
export const multipleOf = ({ unet, firstStage }: PipelineDocument): number =>
  2 ** (unet.channelMultipliers.length - 1) * factorOf(firstStage)

/** What options ask for that the model has no use for. */
export const refused = (document: PipelineDocument, o: PublishedSampling): Effect<unknown> => {
  const { text, classes, boxes, beside, sizes } = document.conditioning
  const layers = text.flatMap(({ encoder, skip }) => (encoder.kind === 'clip' ? [encoder.config.layers - skip] : []))
  const mostSkipped = Math.min(...layers)
  const readsPicture = beside !== null && beside.kind !== 'low-resolution'
  const rules: readonly (readonly [
    flag: string,
    given: PictureSource | number | true | undefined,
    fits: boolean,
    why: string,
  ])[] = [
    ['--prompt', o.prompt?.[0] ?? o.prompts, text.length > 0, 'no text: the model reads none'],
    ['--negative', o.negative, text.length > 0, 'no text: the model reads none'],
    ['--weigh', o.weigh, text.length > 0, 'no weights on words: the model reads no text'],
    [
      '--clip-skip',
      o.clipSkip,
      layers.length > 0 && (o.clipSkip ?? 0) <= mostSkipped,
      layers.length > 0
        ? `0 to ${mostSkipped}, as many layers as there are`
        : 'no layers to leave out: the model has no CLIP',
    ],
    ['--class', o.class, classes !== null, 'no class: the model is told none'],
    ['--picture-guidance', o.pictureGuidance, beside?.kind === 'picture-latents', 'a model that is told of a picture'],
    ['--depth', o.depth, beside?.kind === 'depth', 'no depth: the model is told none'],
    [
      '--low-resolution',
      o.lowResolution,
      beside?.kind === 'low-resolution',
      'no low resolution: the model is told none',
    ],
    ['--label-map', o.labelMap, beside?.kind === 'label-map', 'no label map: the model is told none'],
    ['--aesthetic', o.aesthetic, sizes?.aesthetic === true, 'no score: the model is told none'],
    [boxesOption, o.boxes, boxes !== null, 'no boxes: the model is told none'],
    [
      '--mask',
      o.mask,
      replaces(document) || beside?.kind === 'mask-and-latents' || beside?.kind === 'masked-latents',
      'a model that fills in what a mask covers, or is told of nothing beside x_t',
    ],
    ['--strength', o.strength, o.from !== undefined, 'a picture to begin with, --from'],
    [
      '--strength',
      o.strength,
      beginsOf(document) !== 'never',
      'none: the model is told of the picture, and begins with noise',
    ],
    [
      '--from',
      beside?.kind === 'low-resolution' ? o.from : undefined,
      readsPicture,
      'no picture: --low-resolution has what is drawn larger',
    ],
    ['--hint', o.control === undefined ? o.hint : undefined, false, 'a ControlNet for it, --control'],
    ['--control-scale', o.control === undefined ? o.controlScale : undefined, false, 'a ControlNet, --control'],
  ]
  const found = rules.find(([, given, fits]) => given !== undefined && !fits)
  return found === undefined
    ? TE.right(undefined)
    : TE.fromEither(fail('usage', found[0], found[3], typeof found[1] === 'number' ? `${found[1]}` : 'given'))
}

const classesOf = (
  { conditioning: { classes } }: PipelineDocument,
  name: string | undefined,
  n: number,
): Effect<readonly number[] | undefined> => {
  if (classes === null) return TE.right(undefined)
  const label = name === undefined ? undefined : Number(name)
  return label !== undefined && Number.isInteger(label) && label >= 0 && label < classes.entries
    ? TE.right(Array.from({ length: n }, () => label))
    : TE.fromEither(fail('usage', '--class', `the number of a class, 0 to ${classes.entries - 1}`, name ?? 'nothing'))
}

/** Prompts of a model that reads texts. */
const promptsFor = ({ conditioning: { text } }: PipelineDocument, o: PublishedSampling): Effect<readonly string[]> =>
  effect(async (run) => {
    const prompts = [...(o.prompt ?? []), ...(o.prompts === undefined ? [] : await run(promptsOf(o.prompts)))]
    return text.length > 0 && prompts.length === 0
      ? run(TE.fromEither(fail('usage', '--prompt', 'what is to be drawn: the model draws by texts', 'none')))
      : prompts
  })

interface Pictures {
  readonly size: Place
  readonly given: Partial<Pick<Request, 'picture' | 'mask' | 'depth' | 'lowResolution' | 'labelMap' | 'control'>>
  readonly notes: readonly string[]
}

/** The labels of pixels, where the model is told them. */
const labelsOf = (
  { conditioning: { beside } }: PipelineDocument,
  source: PictureSource | undefined,
  size: Place | undefined,
  multiple: number,
) =>
  source === undefined || beside?.kind !== 'label-map'
    ? TE.right(undefined)
    : readPublishedMap(source, beside.labels, size, multiple)

/** The boxes of a request, where the model is told some. */
const boxesFor = ({ conditioning: { boxes } }: PipelineDocument, { boxes: given }: PublishedSampling) =>
  given === undefined || boxes === null ? TE.right(undefined) : readBoxes(given, boxLabels(boxes.encoder))

/** The pictures of a request, all of one size. */
const picturesOf = (document: PipelineDocument, o: PublishedSampling): Effect<Pictures> =>
  effect(async (run) => {
    const multiple = multipleOf(document)
    const factor = factorOf(document.firstStage)
    const notes: string[] = []
    const asked = o.size === undefined ? undefined : await run(sizeOf(o.size, multiple))
    const read = async (source: PictureSource | undefined, size: Place | undefined, of = multiple) => {
      if (source === undefined) return undefined
      const found = await run(readPublished(source, size, of))
      if (found.note !== undefined) notes.push(found.note)
      return found
    }
    const low = await read(o.lowResolution, undefined, multiple / factor)
    const from = await read(o.from, asked)
    const hint = await read(o.hint, asked ?? from)
    const labels = await run(labelsOf(document, o.labelMap, asked ?? from, multiple))
    if (labels?.note !== undefined) notes.push(labels.note)
    const square = { width: document.side * factor, height: document.side * factor }
    const enlarged = low && { width: low.width * factor, height: low.height * factor }
    const size = enlarged ?? from ?? asked ?? hint ?? labels ?? square
    const mask = await read(o.mask, size)
    const redrawn = mask && grey(mask.pixels)
    if (redrawn?.data.every((x) => Number(x) < 0.5) === true)
      return run(
        TE.fromEither(
          fail(
            'usage',
            `--mask ${o.mask === undefined ? '' : nameOf(o.mask)}`,
            'white where the picture is drawn anew',
            'no such pixel',
          ),
        ),
      )
    const depth = await read(o.depth, size)
    const control: ControlRequest | undefined = hint && {
      hint: hint.pixels,
      scale: o.controlScale ?? 1,
      start: 0,
      end: 1,
      guess: false,
    }
    return {
      size,
      notes,
      given: {
        ...(from === undefined ? {} : { picture: from.pixels }),
        ...(redrawn === undefined ? {} : { mask: redrawn }),
        ...(depth === undefined ? {} : { depth: grey(depth.pixels) }),
        ...(low === undefined ? {} : { lowResolution: signed(low.pixels) }),
        ...(labels === undefined ? {} : { labelMap: labels.map }),
        ...(control === undefined ? {} : { control }),
      },
    }
  })

/** What of texts does not fit the encoders. */
export const cutOf = (pipeline: Pipeline, texts: readonly string[]): Effect<readonly string[]> =>
  pipe(
    texts.flatMap((text) => pipeline.tokenizers.slice(0, 1).map((tokenizer) => [text, tokenizer] as const)),
    TE.traverseArray(([text, tokenizer]) =>
      pipe(
        TE.fromEither(promptIds(tokenizer, text)),
        TE.map(({ cut }) => (cut === undefined ? [] : [`"${text.slice(0, 40)}...": cut before "${cut.slice(0, 60)}"`])),
      ),
    ),
    TE.map((notes) => notes.flat()),
  )

export const requestFor = (
  document: PipelineDocument,
  o: PublishedSampling,
): Effect<Request & { readonly notes: readonly string[]; readonly kinds: number }> =>
  effect(async (run) => {
    const prompts = await run(promptsFor(document, o))
    const kinds = Math.max(1, prompts.length)
    const each = o.count ?? usualCount
    const count = kinds * each
    const { size, given, notes } = await run(picturesOf(document, o))
    const classes = await run(classesOf(document, o.class, count))
    const boxes = await run(boxesFor(document, o))
    const begins = given.picture !== undefined && given.mask === undefined && beginsOf(document) === 'always'
    const usual = document.conditioning.sizes?.aesthetic === true ? usualRefinement : usualStrength
    return {
      count,
      kinds,
      ...size,
      steps: o.steps ?? document.steps,
      guidance: o.guidance ?? document.guidance,
      guidanceRescale: o.guidanceRescale ?? 0,
      pictureGuidance: o.pictureGuidance ?? usualPictureGuidance,
      eta: o.eta ?? 0,
      strength: o.strength ?? (begins ? usual : 1),
      clipSkip: o.clipSkip ?? 0,
      ...(o.aesthetic === undefined ? {} : { aesthetic: o.aesthetic }),
      ...(prompts.length === 0 ? {} : { prompt: prompts }),
      ...(o.negative === undefined ? {} : { negative: [o.negative] }),
      ...(o.weigh === true ? { weighs: true } : {}),
      ...(classes === undefined ? {} : { classes }),
      ...(boxes === undefined ? {} : { boxes }),
      ...given,
      notes,
    }
  })
