import { type Box, boxTokensOf, tokensOfBoxes } from '../data/boxes.ts'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import { type Executor, floats, ints, type Value, type Values } from '../execute/executor.ts'
import { plainSizes, sinusoids } from '../experiment/text-encoders.ts'
import type { Graph } from '../graph/graph.ts'
import { size } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import { using } from '../train/inference.ts'
import type { Beside, PipelineDocument } from './document.ts'
import { encodePixels, latentsOf, scaledLatents } from './first-stage.ts'
import { type Branch, branches, type Guidance } from './guidance.ts'
import { toldLeaves } from './network.ts'
import { boxStates, classTokens, labelChannels } from './networks.ts'
import {
  bicubicAt,
  draws,
  joinedChannels,
  mapValue,
  type NoiseSource,
  nearest,
  type Pipeline,
  type Request,
  repeated,
  type See,
  signed,
  stacked,
  upTo,
  zerosOf,
} from './request.ts'
import { embeddedTexts } from './texts.ts'
import { weighedTexts } from './weighted.ts'
import { type Component, weightsOf } from './weights.ts'

/** What a request gives the network: one row for each kind of condition. */

export interface Given {
  readonly executor: Executor
  readonly pipeline: Pipeline
  readonly request: Request
  /** Height and width of the latents. */
  readonly place: readonly [number, number]
  readonly noise: NoiseSource
  readonly see: See
}

const missing = (option: string, what: string): Effect<never> => TE.fromEither(fail('usage', option, what, 'nothing'))

/** Latents of a picture: their posterior's mode, or a sample of it drawn under a name. */
export const encoded = (
  { executor, pipeline: { document, weights }, noise, see }: Given,
  pixels: Value,
  drawn?: string,
): Effect<Value> =>
  pipe(
    encodePixels(executor, document.firstStage, weights, pixels),
    TE.map((moments) => {
      see('encode.in', pixels)
      see('encode.moments', moments)
      const mode = latentsOf(document.firstStage, moments, undefined)
      return drawn === undefined || document.firstStage.kind !== 'kl'
        ? mode
        : latentsOf(
            document.firstStage,
            moments,
            noise({ name: drawn, step: 0, shape: mode.shape }, upTo(mode.shape[0] ?? 1)),
          )
    }),
  )

/** What a graph of one output makes of its feeds, by a component's weights. */
const computed = (
  { executor, pipeline: { weights } }: Given,
  component: Component,
  built: Checked<Graph>,
  feeds: Values,
): Effect<Value> =>
  effect(async (run) => {
    const graph = await run(TE.fromEither(built))
    const values = await run(weightsOf(graph, component, weights))
    const [found] = Object.values(await run(using(executor, graph, values, (executable) => executable.run(feeds))))
    return found ?? (await run(TE.fromEither(fail('run', component, 'an output', 'none'))))
  })

/** Whether drawing begins at a picture: always where there is one, only where less than all is drawn anew, or never. */
type Begins = 'always' | 'below strength 1' | 'never'

interface BesideRow<B extends Beside> {
  readonly of: (given: Given, beside: B) => Effect<Value>
  /** What stands for no condition. */
  readonly nothing: 'same' | 'zeros'
  readonly begins: Begins
  /** Whether what is not drawn is put back into the picture. */
  readonly putsBack?: boolean
}

const half = 0.5
const binary = (mask: Value): Value => mapValue(mask, (x) => (x >= half ? 1 : 0))
const pictureOf = ({ request: { picture } }: Given): Effect<Value> =>
  picture === undefined ? missing('--from', 'a picture, as the model asks for one') : TE.right(picture)
const maskOf = ({ request: { mask } }: Given): Effect<Value> =>
  mask === undefined ? missing('--mask', 'a picture that is white where is to be drawn') : TE.right(binary(mask))

/** A picture with what is to be drawn set to 0. */
const covered = (picture: Value, mask: Value): Value => {
  const plane = (picture.shape[2] ?? 0) * (picture.shape[3] ?? 0)
  const channels = picture.shape[1] ?? 1
  const masks = repeated(mask, picture.shape[0] ?? 1)
  return mapValue(picture, (x, i) => {
    const m = masks.data[Math.floor(i / (channels * plane)) * plane + (i % plane)] ?? 0
    return m > 0 ? 0 : x
  })
}

const besides: { readonly [K in Beside['kind']]: BesideRow<Extract<Beside, { readonly kind: K }>> } = {
  'label-map': {
    nothing: 'same',
    begins: 'always',
    of: (given, beside) => {
      const { labelMap } = given.request
      if (labelMap === undefined)
        return missing('--label-map', `a picture whose grey values below ${beside.labels} are the labels of pixels`)
      const [n = 1, h = 0, w = 0] = labelMap.shape
      return computed(given, 'rescaler', labelChannels(beside, [n, h, w]), { labels: labelMap })
    },
  },
  'low-resolution': {
    nothing: 'same',
    begins: 'never',
    of: ({ request: { lowResolution } }) =>
      lowResolution === undefined
        ? missing('--low-resolution', 'a picture as large as the latents')
        : TE.right(lowResolution),
  },
  'masked-latents': {
    putsBack: true,
    nothing: 'same',
    begins: 'never',
    of: (given) =>
      effect(async (run) => {
        const [picture, mask] = [await run(pictureOf(given)), await run(maskOf(given))]
        const latents = await run(encoded(given, signed(covered(picture, mask))))
        const small = mapValue(nearest(mask, ...given.place), (x) => 2 * x - 1)
        return joinedChannels([latents, repeated(small, latents.shape[0] ?? 1)])
      }),
  },
  'mask-and-latents': {
    nothing: 'same',
    begins: 'below strength 1',
    of: (given) =>
      effect(async (run) => {
        const [picture, mask] = [await run(pictureOf(given)), await run(maskOf(given))]
        const latents = await run(encoded(given, covered(signed(picture), mask), draws.masked))
        const scaled = scaledLatents(given.pipeline.document.firstStage, latents)
        return joinedChannels([repeated(nearest(mask, ...given.place), scaled.shape[0] ?? 1), scaled])
      }),
  },
  depth: {
    nothing: 'same',
    begins: 'always',
    of: ({ request: { depth }, place }) => {
      if (depth === undefined) return missing('--depth', 'a map of depths, as the model is told them')
      const small = bicubicAt(depth, ...place)
      const each = place[0] * place[1]
      const ranges = Array.from({ length: small.shape[0] ?? 1 }, (_, i) => {
        const own = Array.from(small.data.subarray(i * each, (i + 1) * each), Number)
        return [own.reduce((a, b) => Math.min(a, b)), own.reduce((a, b) => Math.max(a, b))] as const
      })
      return TE.right(
        mapValue(small, (x, i) => {
          const [least, most] = ranges[Math.floor(i / each)] ?? [0, 1]
          return (2 * (x - least)) / (most - least) - 1
        }),
      )
    },
  },
  'picture-latents': {
    nothing: 'zeros',
    begins: 'never',
    of: (given) =>
      pipe(
        pictureOf(given),
        TE.flatMap((picture) => encoded(given, signed(picture))),
      ),
  },
}

/** Nothing of a request that has all that drawing begins with. Errors (`usage`): a refiner without a picture. */
export const beginnable = ({ pipeline: { document }, request }: Given): Effect<void> =>
  document.conditioning.sizes?.aesthetic === true && request.picture === undefined
    ? missing('--from', 'a picture to draw anew: the model refines what another has drawn')
    : TE.right(undefined)

/** When a model begins drawing at a picture. */
export const beginsOf = ({ conditioning: { beside } }: PipelineDocument): Begins =>
  beside === null ? 'always' : besides[beside.kind].begins

/** Whether drawing begins at a picture that is given. */
export const beginsAtPicture = ({ pipeline: { document }, request }: Given): boolean => {
  const begins = beginsOf(document)
  return request.picture !== undefined && (begins === 'always' || (begins !== 'never' && request.strength < 1))
}

/** Whether a model that is told of no mask fills in what one covers: what stays is put in at every step [Lugmayr 2022, RePaint]. */
export const replaces = ({ conditioning: { beside } }: PipelineDocument): boolean => beside === null

/** Of each latent whether it stays, [N, 1, h, w]: none of its pixels is drawn anew. Undefined where nothing is to stay. */
export const staying = ({ pipeline: { document }, request: { mask }, place }: Given): Value | undefined => {
  if (mask === undefined || !replaces(document)) return undefined
  const [n = 1, , height = 0, width = 0] = mask.shape
  const [h, w] = place
  const stays = new Float32Array(n * h * w).fill(1)
  for (const [i, x] of binary(mask).data.entries()) {
    const [item, row, column] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width]
    if (Number(x) > 0) stays[(item * h + Math.floor((row * h) / height)) * w + Math.floor((column * w) / width)] = 0
  }
  return floats([n, 1, h, w], stays)
}

/** Pictures as they are shown: with what a mask kept put back where the model is one for that, in [0, 1]. */
export const finished = ({ pipeline: { document }, request }: Given, decoded: Value): Value => {
  const { beside } = document.conditioning
  const { picture, mask } = request
  const kept = mapValue(decoded, (x) => Math.min(Math.max(Math.fround(x / 2 + 0.5), 0), 1))
  const putsBack = beside === null ? replaces(document) : besides[beside.kind].putsBack === true
  if (!putsBack || picture === undefined || mask === undefined) return kept
  const [n = 1, channels = 1, ...positions] = decoded.shape
  const plane = size(positions)
  const [pictures, masks] = [repeated(picture, n), repeated(binary(mask), n)]
  return mapValue(kept, (x, i) => {
    const drawn = masks.data[Math.floor(i / (channels * plane)) * plane + (i % plane)] ?? 0
    return drawn > 0 ? x : (pictures.data[i] ?? 0)
  })
}

const besideFor = <K extends Beside['kind']>(
  given: Given,
  kind: K,
  beside: Extract<Beside, { readonly kind: K }>,
): Effect<Value> => besides[kind].of(given, beside)

const besideOf = (given: Given, parts: readonly Branch[]): Effect<Values> => {
  const { beside } = given.pipeline.document.conditioning
  if (beside === null) return TE.right({})
  const row = besides[beside.kind]
  return pipe(
    besideFor(given, beside.kind, beside),
    TE.map((one) => {
      const all = repeated(one, given.request.count)
      given.see('beside', all)
      const of = (branch: Branch): Value => (branch === 'nothing' && row.nothing === 'zeros' ? zerosOf(all.shape) : all)
      const told = stacked(parts.map(of))
      given.see('told.beside', told)
      return { [toldLeaves.beside]: told }
    }),
  )
}

/** Labels as tokens, [N, 1, dim]. */
const tokensOf = (given: Given, labels: readonly number[]): Effect<Value> => {
  const { entries = 1, dim = 1 } = given.pipeline.document.conditioning.classes ?? {}
  return computed(given, 'classes', classTokens(entries, dim, labels.length), {
    labels: ints([labels.length], Int32Array.from(labels)),
  })
}

/** What is seen of boxes, and of none where guidance leads away. */
const boxesOf = (given: Given, parts: readonly Branch[]): Effect<Values> =>
  effect(async (run) => {
    const { request, pipeline, see } = given
    const { boxes } = pipeline.document.conditioning
    if (boxes === null) return {}
    const { positions, vocabulary } = boxes.encoder
    const layout = boxTokensOf(positions, vocabulary)
    if (layout === undefined || request.boxes === undefined)
      return run(missing('--boxes', 'what is where: "left,top,right,bottom class; ...", or a file of JSON'))
    const states = (name: string, of: readonly Box[]) =>
      effect(async (go) => {
        const tokens = await go(TE.fromEither(tokensOfBoxes(layout, of, '--boxes')))
        const ids = ints([1, positions], Int32Array.from(tokens))
        see(`ids.boxes${name}`, ids)
        const one = await go(computed(given, 'boxes', boxStates(boxes, 1), { ids }))
        const all = repeated(one, request.count)
        see(`embeds${name}`, all)
        return all
      })
    const told = await run(states('', request.boxes))
    const none = parts.includes('nothing') ? await run(states('.negative', [])) : told
    return { [toldLeaves.context]: stacked(parts.map((part) => (part === 'nothing' ? none : told))) }
  })

/** What the context is, of each branch. */
const contextOf = (given: Given, parts: readonly Branch[]): Effect<Values> =>
  effect(async (run) => {
    const { request, pipeline, see } = given
    const { classes } = pipeline.document.conditioning
    if (classes === null) return {}
    const labels = request.classes
    if (labels === undefined) return run(missing('--class', `a class below ${classes.entries}`))
    const tokens = await run(tokensOf(given, labels))
    see('embeds', tokens)
    const nothing = request.nothingClass ?? classes.entries - 1
    const others = parts.includes('nothing')
      ? await run(
          tokensOf(
            given,
            labels.map(() => nothing),
          ),
        )
      : undefined
    if (others !== undefined) see('embeds.negative', others)
    return { [toldLeaves.context]: stacked(parts.map((part) => (part === 'given' ? tokens : (others ?? tokens)))) }
  })

type Sizes = NonNullable<Pipeline['document']['conditioning']['sizes']>
/** Scores of what is wanted, and of what is not, where none are told: diffusers' own. */
const scores = { given: 6, nothing: 2.5 }
/** What is told of sizes: where nothing is said a picture is not cropped, and as large as it is drawn. */
const sizesFor = ({ aesthetic }: Sizes, request: Request, branch: Branch): readonly number[] => {
  const { height, width } = request
  const given = request.sizes ?? plainSizes(height, width)
  const own = branch === 'given' ? given : (request.negativeSizes ?? given)
  const score = branch === 'given' ? (request.aesthetic ?? scores.given) : (request.negativeAesthetic ?? scores.nothing)
  return aesthetic ? [...own.slice(0, 4), score] : own
}

/** The vector that is added to the time: the pooled text and the sizes, each of them embedded. */
const vectorOf = (given: Given, dim: number, pooled: Value, sizes: readonly number[]): Value => {
  const n = pooled.shape[0] ?? 1
  const embedded = sizes.flatMap((size) => sinusoids(size, dim))
  given.see('vector.pooled', pooled)
  given.see(
    'vector.sizes',
    floats(
      [n, sizes.length],
      Float32Array.from({ length: n * sizes.length }, (_, i) => sizes[i % sizes.length] ?? 0),
    ),
  )
  const [, width = 0] = pooled.shape
  const all = width + embedded.length
  return floats(
    [n, all],
    Float32Array.from({ length: n * all }, (_, i) =>
      i % all < width
        ? (pooled.data[Math.floor(i / all) * width + (i % all)] ?? 0)
        : (embedded[(i % all) - width] ?? 0),
    ),
  )
}

const textOf = (given: Given, parts: readonly Branch[]): Effect<Values> =>
  effect(async (run) => {
    const { executor, pipeline, request, see } = given
    const { text, sizes } = pipeline.document.conditioning
    if (text.length === 0) return {}
    const embedding = request.weighs === true ? weighedTexts : embeddedTexts
    const texts = await run(embedding(executor, pipeline, request, parts.length > 1, see))
    const of = (branch: Branch) => (branch === 'given' ? texts.given : (texts.nothing ?? texts.given))
    see('embeds', texts.given.states)
    if (texts.nothing !== undefined) see('embeds.negative', texts.nothing.states)
    const context = stacked(parts.map((part) => of(part).states))
    see('embeds.all', context)
    if (sizes === null) return { [toldLeaves.context]: context }
    const vectors = parts.map((part) => {
      const { pooled } = of(part)
      see(part === 'given' ? 'pooled' : 'pooled.negative', pooled ?? zerosOf([request.count, 0]))
      return vectorOf(given, sizes.dim, pooled ?? zerosOf([request.count, 0]), sizesFor(sizes, request, part))
    })
    return { [toldLeaves.context]: context, [toldLeaves.y]: stacked(vectors) }
  })

/** All that the network is told beside x and the time. Errors: `usage`, what the request lacks. */
export const toldOf = (given: Given, guidance: Guidance): Effect<Values> =>
  effect(async (run) => {
    const parts = branches[guidance.kind]
    return {
      ...(await run(besideOf(given, parts))),
      ...(await run(contextOf(given, parts))),
      ...(await run(boxesOf(given, parts))),
      ...(await run(textOf(given, parts))),
    }
  })
