import { join } from 'node:path'
import { Option } from 'commander'
import { type Effect, effect } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { readBytes } from '../io/bytes.ts'
import { asArgument } from '../io/names.ts'
import type { Register } from './command.ts'
import { width } from './parse.ts'
import { inRunFolder } from './run-folder.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly out: string
  readonly half?: true
  readonly checkpoint?: 'last' | 'best'
  readonly ema?: number
}

const copied = (from: string, to: string, name: string): Effect<void> =>
  effect(async (run) => run(writeFileAtomic(join(to, name), await run(readBytes(join(from, name))))))

export const exportRun: Register = (program, { terminal, run }) => {
  program
    .command('export')
    .description('what of a trained run is needed to draw, as a run of its own: weights, words, the experiment')
    .argument('<run>', 'the folder of the run')
    .requiredOption('--out <dir>', 'the folder to be written')
    .option('--half', 'numbers of 16 bits, half as large; drawn with in 32 bits as before')
    .addOption(
      new Option('--checkpoint <which>', 'the last state of the diffusion stage, or the best that was kept').choices([
        'last',
        'best',
      ]),
    )
    .addOption(
      new Option('--ema <width>', 'an average made of the snapshots of training.postHocEma, by its relative width')
        .argParser(width)
        .conflicts('checkpoint'),
    )
    .addHelpText('after', '\nExample:\n  latentgraph export runs/shapes --half --out shapes')
    .action((dir: string, { out, half, checkpoint, ema }: Options) =>
      run(
        effect(async (go) => {
          const { openRun } = await import('./trained-run.ts')
          const { writeWeights } = await import('../train/weights.ts')
          const { stagesOf } = await import('../train/plan.ts')
          const { writeWords } = await import('../train/texts.ts')
          const trained = await go(openRun(dir, { checkpoint, ema }))
          const write = (to: string): Effect<void> =>
            effect(async (within) => {
              for (const stage of stagesOf(trained.plan)) {
                const state = stage.name === 'diffusion' ? trained.diffusion : trained.firstStage
                const step = trained.checkpoints.find((c) => c.stage === stage.name)?.step ?? 0
                const dtype = half === true ? 'float16' : 'float32'
                await within(writeWeights(join(to, stage.name), stage, state, { step, dtype, meta: {} }))
              }
              if (trained.words !== undefined) await within(writeWords(to, trained.words))
              await within(copied(dir, to, 'latents.json'))
              await within(copied(dir, to, 'experiment.json'))
            })
          await go(inRunFolder({ file: dir, out, resume: false }, (owned) => write(owned.dir)))
          terminal.out(`${out}\n`)
          terminal.err(`To draw pictures: npx latentgraph sample ${asArgument(out)} --out samples.png\n`)
          return exitCodes.done
        }),
      ),
    )
}
