import { boxLabels } from '../data/boxes.ts'
import { type Effect, effect, fail } from '../error.ts'
import { beginsOf, replaces } from '../pipelines/conditions.ts'
import type { ControlRequest } from '../pipelines/control.ts'
import type { PipelineDocument } from '../pipelines/document.ts'
import { factorOf } from '../pipelines/first-stage.ts'
import { type Pipeline, type Request, signed } from '../pipelines/request.ts'
import { pipe, TE } from '../prelude.ts'
import { promptIds } from '../text/prompt.ts'
import { promptsOf } from './asked.ts'
import { boxesOption, readBoxes } from './boxes-option.ts'
import { type Equipment, withEquipment } from './published-equipment.ts'
import { grey, type Place, readPublished, readPublishedMap, sizeOf } from './published-pictures.ts'
import type { Terminal } from './terminal.ts'

/** `sample` of a published model. */

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
  readonly from?: string
  readonly strength?: number
  readonly aesthetic?: number
  readonly mask?: string
  readonly depth?: string
  readonly lowResolution?: string
  readonly labelMap?: string
  readonly boxes?: string
  readonly hint?: string
  readonly controlScale?: number
  readonly executor?: string
  readonly out: string
}

/** Of pictures that are changed where nothing else is said, as of one's own models. */
const usualStrength = 0.75
const usualPictureGuidance = 1.5
/** Of pictures that are refined, as diffusers has it. */
const usualRefinement = 0.3

/** Latents of so many places pass the network together. */
const placesAtATime = 64 * 64

/** Pixels that a side must be a multiple of: what the first stage makes smaller, and the U-Net after it. */
const multipleOf = ({ unet, firstStage }: PipelineDocument): number =>
  2 ** (unet.channelMultipliers.length - 1) * factorOf(firstStage)

/** What options ask for that the model has no use for. */
const refused = (document: PipelineDocument, o: PublishedSampling): Effect<unknown> => {
  const { text, classes, boxes, beside, sizes } = document.conditioning
  const layers = text.flatMap(({ encoder, skip }) => (encoder.kind === 'clip' ? [encoder.config.layers - skip] : []))
  const mostSkipped = Math.min(...layers)
  const readsPicture = beside !== null && beside.kind !== 'low-resolution'
  const rules: readonly (readonly [
    flag: string,
    given: string | number | true | undefined,
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
  path: string | undefined,
  size: Place | undefined,
  multiple: number,
) =>
  path === undefined || beside?.kind !== 'label-map'
    ? TE.right(undefined)
    : readPublishedMap(path, beside.labels, size, multiple)

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
    const read = async (path: string | undefined, size: Place | undefined, of = multiple) => {
      if (path === undefined) return undefined
      const found = await run(readPublished(path, size, of))
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
        TE.fromEither(fail('usage', `--mask ${o.mask}`, 'white where the picture is drawn anew', 'no such pixel')),
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
const cutOf = (pipeline: Pipeline, texts: readonly string[]): Effect<readonly string[]> =>
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

const requestFor = (
  document: PipelineDocument,
  o: PublishedSampling,
): Effect<Request & { readonly notes: readonly string[]; readonly kinds: number }> =>
  effect(async (run) => {
    const prompts = await run(promptsFor(document, o))
    const kinds = Math.max(1, prompts.length)
    const each = o.count ?? 4
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

export const samplePublished = (
  dir: string,
  options: PublishedSampling,
  terminal: Terminal,
): Effect<readonly string[]> =>
  effect(async (run) => {
    const { withPublishedRun } = await import('../pipelines/run-files.ts')
    const { drawPipeline } = await import('../pipelines/draw.ts')
    const { takesEta, withSampler } = await import('../pipelines/scheduler.ts')
    const { keyedNoise } = await import('../samplers/index.ts')
    const { chooseExecutor } = await import('./session.ts')
    const { writeDrawn } = await import('./picture-file.ts')
    const { checkPictureCount } = await import('./picture-count.ts')
    const { finite } = await import('../train/inference.ts')
    const { progress } = await import('../train/progress.ts')
    const say = (text: string): void => terminal.err(`${text}\n`)
    const seed = options.seed ?? 0
    const draw = (read: Pipeline): Effect<readonly string[]> =>
      effect(async (go) => {
        await go(refused(read.document, options))
        const document =
          options.sampler === undefined
            ? read.document
            : await go(TE.fromEither(withSampler(read.document, options.sampler)))
        if ((options.eta ?? 0) > 0 && !takesEta(document))
          return go(
            TE.fromEither(
              fail(
                'usage',
                '--eta',
                'a sampler that draws as much noise as it is told: --sampler ddim',
                `${options.eta}`,
              ),
            ),
          )
        const { notes, kinds, ...request } = await go(requestFor(document, options))
        const each = request.count / kinds
        const columns = kinds === 1 ? Math.min(each, 4) : each
        await go(checkPictureCount(options.out, { ...request, n: request.count }, columns))
        const pipeline = { ...read, document }
        const texts = [...(request.prompt ?? []), ...(request.negative ?? [])]
        const cut = request.weighs === true ? [] : await go(cutOf(pipeline, [...new Set(texts)]))
        for (const note of [...notes, ...cut]) say(note)
        const choice = await go(chooseExecutor(options.executor ?? 'auto'))
        const { sampling } = document
        say(
          `on ${choice.executor.name} (${choice.reason}); ${document.model}, ${sampling.by === 'compvis' ? sampling.sampler : sampling.scheduler}, ${request.steps} steps, ${request.width}x${request.height}, guidance ${request.guidance}, seed ${seed}`,
        )
        const state: { bar?: ReturnType<typeof progress> } = {}
        const factor = factorOf(document.firstStage)
        const atATime = Math.max(1, Math.floor((placesAtATime * factor * factor) / (request.width * request.height)))
        const drawn = await go(
          drawPipeline({
            executor: choice.executor,
            pipeline,
            request,
            atATime,
            noise: (wanted, pictures) => keyedNoise(seed, pictures)(wanted),
            onStep: (done, of) =>
              TE.fromIO(() => {
                state.bar ??= progress('sampling', of, { from: done })
                state.bar.update(done)
              }),
          }),
        )
        state.bar?.done()
        const [n = 0, ...shape] = drawn.shape
        const items = await go(finite('pictures', { n, shape, data: Float32Array.from(signed(drawn).data) }))
        return go(writeDrawn(options.out, items, { columns, seed }))
      })
    return run(withPublishedRun(dir, (pipeline) => withEquipment(pipeline, options, draw)))
  })
