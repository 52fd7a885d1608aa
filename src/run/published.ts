import { type Effect, effect, fail, failure } from '../error.ts'
import { floats, type Value } from '../execute/executor.ts'
import type { Beside, PipelineDocument } from '../pipelines/document.ts'
import { drawPipeline } from '../pipelines/draw.ts'
import { decodeLatents, encodePixels, factorOf, latentsOf, scaledLatents } from '../pipelines/first-stage.ts'
import { type Where, withPublished } from '../pipelines/read.ts'
import { type Pipeline, signed, upTo } from '../pipelines/request.ts'
import { withPublishedRun } from '../pipelines/run-files.ts'
import { samplerOf, samplersOf, takesEta, withSampler } from '../pipelines/scheduler.ts'
import { E, pipe, TE } from '../prelude.ts'
import { keyedNoise } from '../samplers/index.ts'
import { finite, type Items } from '../train/inference.ts'
import { mostPictures } from './most-pictures.ts'
import type { Opened, PictureKind, Prepared } from './opened.ts'
import { type Equipment, withEquipment } from './published-equipment.ts'
import { type Place, readPublished } from './published-pictures.ts'
import { cutOf, multipleOf, type PublishedSampling, refused, requestFor, usualCount } from './published-request.ts'

/** A published model, open to be drawn from. */

/** Latents of so many places pass the network together. */
const placesAtATime = 64 * 64

const saysSampler = ({ sampling }: PipelineDocument): string =>
  sampling.by === 'compvis' ? sampling.sampler : sampling.scheduler

const asItems = ({ shape: [n = 0, ...shape], data }: Value): Items => ({ n, shape, data: Float32Array.from(data) })
const asValue = ({ n, shape, data }: Items): Value => floats([n, ...shape], data)

/** How many pictures of a size pass the networks together. */
const atATimeOf = ({ firstStage }: PipelineDocument, { width, height }: Place): number => {
  const factor = factorOf(firstStage)
  return Math.max(1, Math.floor((placesAtATime * factor * factor) / (width * height)))
}

const prepare =
  (read: Pipeline) =>
  (options: PublishedSampling): Effect<Prepared> =>
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
      const pipeline = { ...read, document }
      const texts = [...(request.prompt ?? []), ...(request.negative ?? [])]
      const cut = request.weighs === true ? [] : await go(cutOf(pipeline, [...new Set(texts)]))
      const seed = options.seed ?? 0
      const atATime = atATimeOf(document, request)
      return {
        n: request.count,
        width: request.width,
        height: request.height,
        columns: kinds === 1 ? Math.min(each, 4) : each,
        seed,
        notes: [...notes, ...cut],
        begin: (executor) =>
          TE.right({
            says: `${document.model}, ${saysSampler(document)}, ${request.steps} steps, ${request.width}x${request.height}, guidance ${request.guidance}, seed ${seed}`,
            draw: ({ watch = false, onStep }) =>
              effect(async (run) => {
                const drawn = await run(
                  drawPipeline({
                    executor,
                    pipeline,
                    request,
                    atATime,
                    predict: watch,
                    noise: (wanted, pictures) => keyedNoise(seed, pictures)(wanted),
                    onStep: ({ predicted, ...step }) =>
                      onStep?.({
                        ...step,
                        ...(predicted === undefined
                          ? {}
                          : {
                              latents: asItems(predicted),
                              predicted: decodedOf(pipeline)(executor, asItems(predicted)),
                            }),
                      }) ?? TE.right(undefined),
                  }),
                )
                return run(finite('pictures', asItems(signed(drawn))))
              }),
          }),
      }
    })

const decodedOf =
  ({ document, weights }: Pipeline): Opened['decode'] =>
  (executor, latents) =>
    pipe(decodeLatents(executor, document.firstStage, weights, asValue(latents), latents.n), TE.map(asItems))

const asks: { readonly [K in Beside['kind']]: PictureKind } = {
  'low-resolution': 'low resolution',
  'masked-latents': 'mask',
  'mask-and-latents': 'mask',
  depth: 'depth',
  'picture-latents': 'picture',
  'label-map': 'label map',
}

const openedOf = (pipeline: Pipeline, dispose: () => Promise<void>): Opened => {
  const { document, weights } = pipeline
  const { text, classes, boxes, beside } = document.conditioning
  const side = document.side * factorOf(document.firstStage)
  const size = { width: side, height: side }
  return {
    kind: 'published',
    describe: {
      name: document.model,
      condition: text.length > 0 ? 'text' : classes !== null ? 'class' : boxes !== null ? 'boxes' : 'none',
      ...(beside === null ? {} : { picture: asks[beside.kind] }),
      ...(classes === null ? {} : { classes: upTo(classes.entries).map(String) }),
      samplers: samplersOf(document),
      spacings: [],
      defaults: {
        steps: document.steps,
        guidance: document.guidance,
        sampler: samplerOf(document),
        seed: 0,
        count: usualCount,
      },
      size,
      maxCount: mostPictures(size),
    },
    executor: 'auto',
    notes: [],
    prepare: prepare(pipeline),
    read: (source) =>
      pipe(
        readPublished(source, undefined, multipleOf(document)),
        TE.map(({ pixels }) => asItems(signed(pixels))),
      ),
    encode: (executor, pictures) =>
      pipe(
        encodePixels(executor, document.firstStage, weights, asValue(pictures)),
        TE.map((moments) =>
          asItems(scaledLatents(document.firstStage, latentsOf(document.firstStage, moments, undefined))),
        ),
      ),
    decode: decodedOf(pipeline),
    losses: () =>
      TE.left([
        failure(
          'usage',
          'loss',
          'a run that was trained here',
          `${document.model}, which does not say what it was trained by`,
        ),
      ]),
    parameters: Object.entries(weights).flatMap(([component, arrays]) =>
      Object.entries(arrays).map(([name, { shape, read }]) => ({
        name: `${component}/${name}`,
        shape,
        read: pipe(
          read,
          TE.map(({ data }) => Float32Array.from<number | bigint>(data, Number)),
        ),
      })),
    ),
    dispose,
  }
}

/** Opens what `use` is given for as long as `use` takes, and keeps it open until it is disposed of. */
const heldOpen =
  (bracket: (use: (pipeline: Pipeline) => Effect<void>) => Effect<void>): Effect<Opened> =>
  () =>
    new Promise((resolve, reject) => {
      const whole: { ended: Promise<unknown> } = { ended: Promise.resolve() }
      const use = (pipeline: Pipeline): Effect<void> =>
        TE.fromTask(
          () =>
            new Promise<void>((close) => {
              const dispose = async (): Promise<void> => {
                close()
                await whole.ended
              }
              resolve(E.right(openedOf(pipeline, dispose)))
            }),
        )
      whole.ended = bracket(use)().then((ended) => {
        if (E.isLeft(ended)) resolve(ended)
      }, reject)
    })

/** Errors: `config`, `file`, `usage`, `data`. */
export const openPublished = (dir: string, equipment: Equipment): Effect<Opened> =>
  heldOpen((use) => withPublishedRun(dir, (pipeline) => withEquipment(pipeline, equipment, use)))

/** A model where it lies, as `import` would read it. Errors: `config`, `file`, `usage`. */
export const openModel = (where: Where): Effect<Opened> => heldOpen((use) => withPublished(where, use))
