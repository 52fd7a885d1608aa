import { join } from 'node:path'
import { type Checked, type Effect, effect, fail, failure, type LatentError } from '../error.ts'
import type { UnreadArrays } from '../io/stored.ts'
import { E, TE, t } from '../prelude.ts'
import { namesIn, readJson } from './component-files.ts'

/** What draws nothing by itself: parts of models, and what is added to them. */

interface Part {
  readonly is: string
  readonly hint: string
}
const control: Part = { is: 'a ControlNet alone', hint: 'sample RUN --control PATH --hint picture.png draws with it' }
const stage: Part = { is: 'a first stage alone', hint: 'the folder or checkpoint of a whole model has its U-Net too' }
const unet: Part = { is: 'a U-Net alone', hint: 'the folder above it, with model_index.json, is the model' }

/** By `_class_name`. */
const classes: Readonly<Record<string, Part>> = {
  ControlNetModel: control,
  AutoencoderKL: stage,
  AutoencoderTiny: stage,
  VQModel: stage,
  UNet2DConditionModel: unet,
  UNet2DModel: unet,
}

const embedding: Part = {
  is: 'embeddings of a word alone (a textual inversion)',
  hint: 'sample RUN --embedding PATH draws with it',
}
const textEncoder: Part = {
  is: 'an encoder of texts alone',
  hint: 'the folder above it, with model_index.json, is the model',
}

/** By names of arrays, the first that fits. */
const byNames: readonly (readonly [RegExp, Part])[] = [
  [
    /\.lora_(down|up|A|B)\.|_lora\.(down|up)\.|\.hada_w1_a$|\.lokr_w1/,
    { is: 'an adapter', hint: 'sample RUN --lora PATH draws with it' },
  ],
  [/^control_model\./, control],
  [/^encoder\.conv_in\.weight$/, stage],
  [/^(text_model\.)?encoder\.layers\.0\.self_attn\./, textEncoder],
]

/** Few vectors, and nothing else: no network is so small. */
const isEmbedding = (found: UnreadArrays): boolean => {
  const all = Object.values(found)
  return all.length >= 1 && all.length <= 2 && all.every(({ shape }) => shape.length === 1 || shape.length === 2)
}

const whole = 'a model that draws: a folder with model_index.json, or a checkpoint with a U-Net'

/** Arrays among which a U-Net can be. Errors (`file`): they are known to be something else. */
export const drawsByItself = (path: string, found: UnreadArrays): Checked<unknown> => {
  const keys = Object.keys(found)
  const part = keys.some((key) => /^model(\.diffusion_model\.|_ema\.)/.test(key))
    ? undefined
    : isEmbedding(found)
      ? embedding
      : byNames.find(([pattern]) => keys.some((key) => pattern.test(key)))?.[1]
  return part === undefined ? E.right(found) : fail('file', path, whole, part.is, part.hint)
}

/** What there is to say where a file could not be opened as a model's: the web interface's embeddings have no tensors at their top. */
export const nothingThatDraws = (error: LatentError): LatentError =>
  error.got.includes('"string_to_param"') ? failure(error.tag, error.at, whole, embedding.is, embedding.hint) : error

/** Nothing of a path that is no folder. Errors (`file`): a folder that is no model's. */
export const noFolder = (path: string): Effect<void> =>
  effect(async (run) => {
    const names = await namesIn(path)()
    if (E.isLeft(names)) return
    const config = names.right.includes('config.json') ? await run(readJson(join(path, 'config.json'))) : undefined
    const name = t.UnknownRecord.is(config) ? config._class_name : undefined
    const found = typeof name === 'string' && Object.hasOwn(classes, name) ? classes[name] : undefined
    const listed = names.right.slice(0, 8).join(', ')
    return run(TE.fromEither(fail('file', path, whole, found?.is ?? `a folder of ${listed || 'nothing'}`, found?.hint)))
  })
