import { join } from 'node:path'
import { Option } from 'commander'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { readBytes } from '../io/bytes.ts'
import { asArgument } from '../io/names.ts'
import { packageFile } from '../package.ts'
import { E, TE } from '../prelude.ts'
import { heldRun } from '../run/held-run.ts'
import { inRunFolder } from '../run/run-folder.ts'
import { checkpointOption, emaOption, type Register } from './command.ts'
import { type FormatOptions, formats } from './export-published.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly out?: string
  readonly safetensors?: string
  readonly onnx?: string
  readonly web?: string
  readonly as?: FormatOptions['as']
  readonly half?: true
  readonly checkpoint?: 'last' | 'best'
  readonly ema?: number
}

type Goal =
  | { readonly out: string }
  | { readonly onnx: string }
  | { readonly web: string }
  | Pick<FormatOptions, 'safetensors' | 'as'>
/** A run to draw with, or other programs' files. Errors: `usage`. */
const goal = ({ out, safetensors, as, onnx, web }: Options): Checked<Goal> => {
  const given = [out, safetensors, as, onnx, web].filter((option) => option !== undefined).length
  if (given === 1 && out !== undefined) return E.right({ out })
  if (given === 1 && onnx !== undefined) return E.right({ onnx })
  if (given === 1 && web !== undefined) return E.right({ web })
  return given === 2 && safetensors !== undefined && as !== undefined
    ? E.right({ safetensors, as })
    : fail(
        'usage',
        '--out',
        'either --out, or --web, or --safetensors with --as, or --onnx',
        given === 0 ? 'none of them' : 'another choice of them',
      )
}

const copied = (from: string, to: string, name: string): Effect<void> =>
  effect(async (run) => run(writeFileAtomic(join(to, name), await run(readBytes(join(from, name))))))

export const exportRun: Register = (command, { terminal, run }) => {
  command
    .argument('<run>', 'the folder of the run')
    .option('--out <dir>', 'the folder of a run to be written: weights, words, the experiment')
    .option('--safetensors <path>', 'what another program is to read: a file, or for diffusers a folder')
    .addOption(
      new Option('--as <format>', "in the original's names, with its YAML; or as a folder of diffusers").choices(
        formats,
      ),
    )
    .option('--onnx <dir>', 'ONNX files of standard operators: the networks, and a sampler with its steps within')
    .option('--web <dir>', 'a page that draws in the browser, as files for any server of files')
    .option('--float16, --half', 'numbers of 16 bits, half as large; drawn with in 32 bits as before')
    .addOption(checkpointOption())
    .addOption(emaOption())
    .addHelpText(
      'after',
      `
Examples:
  latentgraph export runs/shapes --half --out shapes
  latentgraph export runs/sd --safetensors model.safetensors --as compvis
  latentgraph export runs/sd --safetensors sd --as diffusers
  latentgraph export runs/shapes --onnx shapes-onnx
  latentgraph export runs/shapes --web site --half`,
    )
    .action((dir: string, options: Options) =>
      run(
        effect(async (go) => {
          const { half, checkpoint, ema } = options
          const to = await go(TE.fromEither(goal(options)))
          await go(heldRun(dir))
          if ('as' in to) {
            const { exportPublished } = await import('./export-published.ts')
            return go(exportPublished(dir, { ...to, half: half === true, checkpoint, ema }, terminal))
          }
          if ('web' in to) {
            const { exportWeb } = await import('./export-web.ts')
            const page = packageFile('dist', 'page')
            return go(exportWeb(dir, to.web, { half: half === true, page, checkpoint, ema }, terminal))
          }
          if ('onnx' in to) {
            const { exportOnnx } = await import('./export-onnx.ts')
            return go(exportOnnx(dir, to.onnx, { half: half === true, checkpoint, ema }, terminal))
          }
          const { out } = to
          const { isPublishedRun } = await import('../pipelines/run-files.ts')
          if (await isPublishedRun(dir))
            return go(
              TE.fromEither(
                fail(
                  'usage',
                  '--out',
                  'a run that was trained here',
                  `${dir}, a published model`,
                  'its folder has nothing but what draws; --safetensors and --as write it for other programs',
                ),
              ),
            )
          const { openRun } = await import('../run/trained-run.ts')
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
