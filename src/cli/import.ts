import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { loadExperiment } from '../experiment/load.ts'
import { refusing } from '../experiment/problems.ts'
import { asArgument } from '../io/names.ts'
import type { Owned } from '../io/owner.ts'
import { E, TE } from '../prelude.ts'
import { resumeCommand } from '../run/resume-command.ts'
import { inRunFolder } from '../run/run-folder.ts'
import type { Words } from '../text/learnt.ts'
import type { Plan } from '../train/plan.ts'
import { type Register, setOption, several } from './command.ts'
import type { PublishedOptions } from './import-published.ts'
import { exitCodes } from './terminal.ts'

interface Options extends PublishedOptions {
  readonly into?: string
  readonly ignoreKeys: readonly string[]
  readonly fineTune?: boolean
  readonly set: readonly string[]
}

/** Options of the one kind of import, and of the other. Errors (`usage`): one that does not apply. */
const fitting = (o: Options): Checked<unknown> => {
  const rules: readonly (readonly [flag: string, given: boolean, ofExperiment: boolean])[] = [
    ['--config', o.config !== undefined, false],
    ['--tokenizer', o.tokenizer.length > 0, false],
    ['--text-encoder', o.textEncoder.length > 0, false],
    ['--variant', o.variant !== undefined, false],
    ['--ignore-keys', o.ignoreKeys.length > 0, true],
    ['--fine-tune', o.fineTune === true, true],
    ['--set', o.set.length > 0, true],
  ]
  const found = rules.find(([, given, ofExperiment]) => given && ofExperiment !== (o.into !== undefined))
  return found === undefined
    ? E.right(o)
    : fail('usage', found[0], found[2] ? 'an experiment, --into' : 'a published model, without --into', 'given')
}

/** The names of the pictures' classes, where the model is told them. */
const classesOf = (e: Experiment): Effect<readonly string[]> =>
  effect(async (run) => {
    const { toldClasses } = await import('../train/plan.ts')
    if (!toldClasses(e)) return []
    const { findData } = await import('../train/data.ts')
    return (await run(findData(e))).classes
  })

/** The words that a model is to know, where it reads texts: those of the captions that it would be trained on. */
const wordsFor = (e: Experiment, plan: Plan): Effect<Words | undefined> =>
  effect(async (run) => {
    const conditioner = plan.diffusion?.model.conditioner
    if (conditioner?.text === undefined) return undefined
    const { loadData, parted } = await import('../train/data.ts')
    const { captionRules, wordsOf } = await import('../train/texts.ts')
    const { knownRules } = await import('../train/known.ts')
    const dataset = await run(loadData(e))
    await run(TE.fromEither(refusing(captionRules(conditioner, dataset))))
    await run(TE.fromEither(refusing(knownRules(conditioner, dataset))))
    return wordsOf(conditioner, (await run(TE.fromEither(parted(e, dataset)))).train)
  })

export const importCheckpoint: Register = (command, { terminal, run }) => {
  command
    .argument(
      '<path>',
      'a folder of diffusers, or a checkpoint: torch (.ckpt, .pt) or safetensors; nothing in it is executed',
    )
    .option(
      '--config <path>',
      'what a checkpoint is: its YAML, or a folder of diffusers; else found beside it, or by its arrays',
    )
    .option(
      '--tokenizer <dir>',
      "the tokenizer of a checkpoint's text encoder, where it is not CLIP's own; of a second encoder again",
      several,
      [],
    )
    .option(
      '--text-encoder <file>',
      "the config.json of a checkpoint's text encoder, where it is none that is published; of a second one again",
      several,
      [],
    )
    .option('--variant <name>', 'which of the files of a folder of diffusers: fp16')
    .option('--into <experiment>', 'the experiment whose parameters the checkpoint holds, JSON')
    .option(
      '--from <key>',
      'where in the file the model is, as model, ema or a.b; at its top or in state_dict where left out',
    )
    .option('--ignore-keys <prefix>', 'leave keys alone that begin so; can be repeated', several, [])
    .option('--fine-tune', 'train on from the imported weights; else what was imported counts as trained')
    .option('--out <dir>', 'the folder of the run; a new one below runs/ where left out')
    .option(...setOption, several, [])
    .addHelpText(
      'after',
      `
Examples:
  latentgraph import stable-diffusion-v1-5 --out runs/sd
  latentgraph import model.ckpt --config model.yaml --out runs/ldm
  latentgraph import autoencoder.ckpt --into graphs/emoji.json --ignore-keys loss
  latentgraph import emoji.safetensors --into graphs/emoji.json --fine-tune --out runs/tuned`,
    )
    .action((file: string, options: Options) =>
      run(
        effect(async (go) => {
          await go(TE.fromEither(fitting(options)))
          const { into, out, from, ignoreKeys, fineTune = false, set } = options
          if (into === undefined) {
            const { importPublished } = await import('./import-published.ts')
            return go(importPublished(file, options, terminal))
          }
          const { withCheckpointFile } = await import('../io/checkpoint-file.ts')
          const { planExperiment } = await import('../train/plan.ts')
          const { importArrays } = await import('./imported-run.ts')
          const declared = await go(loadExperiment(into, set))
          const say = (text: string): void => terminal.err(`${text}\n`)
          const importInto = ({ dir }: Owned) =>
            effect(async (within) => {
              const classes = await within(classesOf(declared))
              const plan = await within(TE.fromEither(planExperiment(declared, classes.length)))
              const words = await within(wordsFor(declared, plan))
              const options = { file, dir, declared, plan, classes, words, ignoreKeys, fineTune }
              const { complete } = await within(
                withCheckpointFile(file, { from }, (found) => importArrays(options, found, say)),
              )
              return { dir, complete }
            })
          const { dir, complete } = await go(inRunFolder({ file: into, out, resume: false }, importInto))
          terminal.out(`${dir}\n`)
          const folder = asArgument(dir)
          say(
            complete
              ? `To draw pictures: npx latentgraph sample ${folder} --out samples.png`
              : `To go on: ${resumeCommand(dir)}`,
          )
          return exitCodes.done
        }),
      ),
    )
}
