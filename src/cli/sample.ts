import { type Command, Option } from 'commander'
import { effect, fail } from '../error.ts'
import { samplerNames } from '../experiment/sampling.ts'
import { halves } from '../graph/types.ts'
import type { PictureSettings } from '../io/picture-settings.ts'
import { TE } from '../prelude.ts'
import { labelMapOption, lowResolutionOption } from '../run/condition-picture.ts'
import { heldRun } from '../run/held-run.ts'
import { boxesOption, vectorOption } from '../run/option-names.ts'
import { checkFrom } from '../run/sample-from.ts'
import { type Options as Asked, applicable } from '../run/sample-options.ts'
import { spacings } from '../schedulers/levels.ts'
import { checkpointOption, emaOption, type Register, several } from './command.ts'
import { count, natural, notNegative, share } from './parse.ts'
import { checkPictureFile } from './picture-file.ts'
import { checkPreviews, type PreviewOptions } from './previews.ts'
import { exitCodes } from './terminal.ts'

interface Options extends Asked, PreviewOptions {
  readonly repeat?: string
  readonly out: string
}

/** Options that say nothing of a picture. */
const unkept: readonly string[] = ['out', 'repeat', 'previews', 'previewEvery', 'previewDecoder']
/** Options as they were typed, but where pictures go. */
const typedOptions = (command: Command): PictureSettings['args'] =>
  command.options.flatMap((option): PictureSettings['args'] => {
    const name = option.attributeName()
    if (command.getOptionValueSource(name) !== 'cli' || unkept.includes(name)) return []
    const value: unknown = command.getOptionValue(name)
    const flag = option.long ?? option.flags
    return value === true ? [[flag, null]] : (Array.isArray(value) ? value : [value]).map((one) => [flag, String(one)])
  })

/** The command that draws a picture again, with options that are typed now in the place of its own. */
const repeatedArgs = ({ run, args }: PictureSettings, now: PictureSettings['args'], out: string): readonly string[] => {
  const kept = args.filter(([flag]) => !now.some(([other]) => other === flag))
  const words = [...kept, ...now].flatMap(([flag, value]) => (value === null ? [flag] : [`${flag}=${value}`]))
  return ['sample', run, ...words, `--out=${out}`]
}

export const sample: Register = (command, { terminal, run, again }) => {
  command
    .argument('[run]', 'the folder of the run')
    .option('--repeat <picture>', 'draw again what a picture says that it was drawn by; options beside it change that')
    .requiredOption(
      '--out <path>',
      'the picture to write, in the format that its name ends with: .png, .jpg, .webp, .avif, .tiff; or a folder, folder/, for a PNG of each',
    )
    .option('--class <name>', 'of this class alone; else a row of every class')
    .option('--prompt <text>', 'what to draw, of a model that reads texts; can be repeated: a row of each', several, [])
    .option('--prompts <file>', 'the same, a line each')
    .option('--guidance <scale>', 'of classifier-free guidance; 1 is none', notNegative)
    .option('--steps <n>', 'of the sampler', count)
    .addOption(new Option('--sampler <name>', 'how to go from noise to latents').choices(samplerNames))
    .addOption(new Option('--spacing <name>', 'where along the way the network is asked').choices(spacings))
    .option('--eta <number>', 'how much noise a sampler draws that can do without: 0 none', share)
    .option(`${lowResolutionOption} <picture>`, 'what a model of super-resolution draws larger')
    .option(`${labelMapOption} <picture>`, 'the label of each pixel, its grey value, of a model that is told one')
    .option(
      `${boxesOption} <boxes>`,
      'what is where: "left,top,right,bottom class; ..." in shares of the sides, or a file',
    )
    .option(`${vectorOption} <numbers>`, 'numbers with commas between them, of a model that is told some')
    .option('--seed <n>', 'of the noise; that of the experiment where left out', natural)
    .option('--count <n>', 'pictures of each class', count)
    .addOption(checkpointOption())
    .addOption(emaOption())
    .option('--negative <class|text>', 'what guidance leads away from, instead of no class or an empty text')
    .option('--guidance-rescale <share>', 'how far guided predictions keep the spread of unguided ones', share)
    .option('--from <picture>', 'draw on from this picture instead of noise')
    .option('--strength <share>', 'how much of it is drawn anew: 1 all, 0 nothing; 0.75, or with a mask 1', share)
    .option('--mask <picture>', 'where it is drawn anew: white; what is black stays')
    .option('--invert', 'from the noise that the picture itself would be drawn from')
    .option('--from-class <name>', 'the class of a picture to invert; that which is drawn where left out')
    .option('--from-prompt <text>', 'what a picture to invert shows; what is drawn where left out')
    .option('--interpolate <seed>', 'each row goes from the noise of --seed to that of another', natural)
    .option('--vary <share>', 'each row holds variations of its first picture, so far from it', share)
    .option('--size <WxH>', 'pixels of the pictures of a published model; that of --from where left out')
    .option('--weigh', 'brackets weigh words of prompts, as (word:1.3) and [word], and long prompts go in chunks')
    .option('--clip-skip <n>', 'so many of the last layers of the text encoder are left out', natural)
    .option(
      '--picture-guidance <scale>',
      'of a model that changes pictures by words: how much of --from is kept',
      notNegative,
    )
    .option('--depth <picture>', 'a map of depths, bright what is near, of a model that is told one')
    .option('--aesthetic <score>', 'of a refiner: how pleasing its pictures are, 6 of 10 where left out', notNegative)
    .option(
      '--lora <file[:weight]>',
      'an adapter, or the run that trained it, and how much it counts; can be repeated',
      several,
      [],
    )
    .option('--lora-merge', 'change the weights by the adapters once, rather than add terms at each step')
    .option(
      '--embedding <file[:word]>',
      'a word of textual inversion, or the run that trained it; can be repeated',
      several,
      [],
    )
    .option('--control <path>', 'a ControlNet: a folder of diffusers, an original file, or the run that trained it')
    .option('--control-config <file>', 'its YAML, where it does not lie beside it')
    .option('--hint <picture>', 'what the ControlNet is to follow')
    .option('--control-scale <number>', 'how much it counts', notNegative)
    .option('--previews <dir>', 'a folder for pictures of what is predicted after every few steps, and a strip of all')
    .option('--preview-every <n>', 'steps from one to the next; an eighth of all where left out', count)
    .option(
      '--preview-decoder <path>',
      "what decodes them: AutoencoderTiny of diffusers, or the file of TAESD's decoder; the model's own where left out",
    )
    .option('--executor <name>', 'that of the experiment where left out')
    .addOption(
      new Option(
        '--precision <dtype>',
        'products and activations in 16 bits, for devices that have it: float16 or bfloat16',
      )
        .choices(['float32', ...halves])
        .default('float32'),
    )
    .addHelpText(
      'after',
      '\nExample:\n  latentgraph sample runs/emoji --class "Animals & Nature" --guidance 4 --out animals.png',
    )
    .action((dir: string | undefined, options: Options) =>
      run(
        effect(async (go) => {
          const typed = typedOptions(command)
          if (options.repeat !== undefined) {
            if (dir !== undefined)
              return go(TE.fromEither(fail('usage', '--repeat', 'no run, which the picture knows', dir)))
            const { settingsIn } = await import('../io/picture-settings.ts')
            return again(repeatedArgs(await go(settingsIn(options.repeat)), typed, options.out))
          }
          if (dir === undefined)
            return go(TE.fromEither(fail('usage', '<run>', 'the folder of a run, or --repeat <picture>', 'neither')))
          await go(checkPictureFile(options.out))
          await go(checkPreviews(options))
          await go(heldRun(dir))
          const { isPublishedRun } = await import('../pipelines/run-files.ts')
          const { keepSettings } = await import('../io/picture-settings.ts')
          const published = await isPublishedRun(dir)
          await go(TE.fromEither(applicable(options, published)))
          await go(TE.fromEither(checkFrom(options)))
          const { sampleRun } = await import('./sample-run.ts')
          const files = await go(sampleRun(dir, options, terminal))
          for (const file of files) await go(keepSettings(file, { run: dir, args: typed }))
          terminal.out(`${options.out}\n`)
          return exitCodes.done
        }),
      ),
    )
}
