import { join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../error.ts'
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
}

/** By names of arrays, the first that fits. */
const arrays: readonly (readonly [RegExp, Part])[] = [
  [
    /\.lora_(down|up|A|B)\.|_lora\.(down|up)\.|\.hada_w1_a$|\.lokr_w1/,
    { is: 'an adapter', hint: 'sample RUN --lora PATH draws with it' },
  ],
  [/^control_model\./, control],
  [/^encoder\.conv_in\.weight$/, stage],
]

const whole = 'a model that draws: a folder with model_index.json, or a checkpoint with a U-Net'

/** Arrays among which a U-Net can be. Errors (`file`): they are known to be something else. */
export const drawsByItself = (path: string, keys: readonly string[]): Checked<unknown> => {
  const found = keys.some((key) => /^model(\.diffusion_model\.|_ema\.)/.test(key))
    ? undefined
    : arrays.find(([pattern]) => keys.some((key) => pattern.test(key)))?.[1]
  return found === undefined ? E.right(keys) : fail('file', path, whole, found.is, found.hint)
}

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
