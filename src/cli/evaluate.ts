import { join } from 'node:path'
import { Option } from 'commander'
import { type Effect, effect, failure } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { type Problems, refusing } from '../experiment/problems.ts'
import { samplerNames, saysSampling } from '../experiment/sampling.ts'
import { E, TE } from '../prelude.ts'
import { heldRun } from '../run/held-run.ts'
import { type SamplingOptions, withSampling } from '../run/sample-options.ts'
import { spacings } from '../schedulers/levels.ts'
import type { Progress } from '../train/progress.ts'
import { checkpointOption, type Register, several } from './command.ts'
import { count, natural, notNegative, share, timesteps } from './parse.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

interface Options extends SamplingOptions {
  readonly features: readonly string[]
  readonly count?: number
  readonly references?: number
  readonly bitsPerDim?: number | true
  readonly captions?: number
  readonly seed?: number
  readonly checkpoint?: 'last' | 'best'
  readonly executor?: string
  readonly against?: string
}

/** Samples that are drawn where nobody says how many. */
const defaultCount = 256
/** Training pictures that they are compared with, at most: the time that distances take grows with the square. */
const defaultReferences = 10_000
/** Timesteps of the bound, where nobody says how many. */
const defaultTimesteps = 100

/** Work that cannot be asked to stop is left after so long (ms); nothing is lost by it. */
const patience = 1000

/** Runs work that can be stopped at any time before it writes; `figuring` says that what is left cannot be asked to. */
const stoppableWork = (
  terminal: Terminal,
  work: (watch: {
    readonly stopping: () => boolean
    readonly doing: (what: string) => void
    readonly onStep: (name: string, done: number, of: number) => void
    readonly figuring: () => void
  }) => Effect<Outcome>,
): Effect<Outcome> =>
  effect(async (run) => {
    const { progress } = await import('../train/progress.ts')
    const now: { what: string; bar?: Progress } = { what: 'opening the run' }
    const end = (): void => {
      now.bar?.done()
      delete now.bar
    }
    const tell = (): void => {
      end()
      terminal.err(`stopped while ${now.what}; nothing was written\n`)
    }
    const stop = stopOnSignals(() => {
      setTimeout(() => {
        tell()
        process.exit(stop.exitCode())
      }, patience).unref()
    })
    try {
      const ended = await work({
        stopping: stop.requested,
        doing: (what) => {
          end()
          now.what = what
        },
        onStep: (name, done, of) => {
          now.bar ??= progress(name, of, { from: done })
          now.bar.update(done)
        },
        figuring: () => {
          end()
          terminal.err('computing distances\n')
          stop.dispose()
        },
      })()
      end()
      if (E.isLeft(ended) && ended.left.some(({ tag }) => tag === 'stopped')) {
        tell()
        return stop.exitCode()
      }
      return await run(TE.fromEither(ended))
    } finally {
      stop.dispose()
    }
  })

/** What is asked of samples; a first stage alone draws none. */
const ofSamples = {
  features: '--features',
  count: '--count',
  references: '--references',
  bitsPerDim: '--bits-per-dim',
  captions: '--captions',
  guidance: '--guidance',
  guidanceRescale: '--guidance-rescale',
  steps: '--steps',
  sampler: '--sampler',
  spacing: '--spacing',
  eta: '--eta',
  seed: '--seed',
  checkpoint: '--checkpoint',
} as const satisfies { readonly [K in keyof Options]?: string }

const unread = (options: Options): Problems =>
  Object.entries({ ...options, features: options.features.length === 0 ? undefined : options.features }).flatMap(
    ([key, value]) => {
      const option = Object.entries(ofSamples).find(([name]) => name === key)?.[1]
      return value === undefined || option === undefined
        ? []
        : [failure('usage', option, 'a run with a diffusion stage, which is what reads this', 'a first stage alone')]
    },
  )

/** Evaluates the run in a folder that is owned, and shows what was found. */
const session = (dir: string, experiment: Experiment, options: Options, terminal: Terminal): Effect<Outcome> =>
  effect(async (go) => {
    const { evaluate: evaluated } = await import('../train/evaluation/index.ts')
    const { owning } = await import('../io/owner.ts')
    const { stoppable } = await import('../train/stop.ts')
    const { openEvaluated, readEvaluation } = await import('./evaluated-run.ts')
    const { chooseExecutor } = await import('../execute/choose.ts')
    const { version } = await import('../package.ts')
    const { showComparison, showEvaluation } = await import('./evaluation-text.ts')
    if (experiment.diffusion === undefined) await go(TE.fromEither(refusing(unread(options))))
    const names = options.features.length === 0 ? ['pixels'] : options.features
    const against = options.against === undefined ? undefined : await go(readEvaluation(options.against))
    const { executor, reason } = await go(chooseExecutor(options.executor ?? experiment.executor))
    return go(
      stoppableWork(terminal, ({ stopping, ...listener }) =>
        owning(dir, (owned) =>
          effect(async (run) => {
            const opened = await run(openEvaluated(dir, experiment, { names, checkpoint: options.checkpoint }))
            const timesteps = opened.evaluated.diffusion?.model.config.schedule.timesteps
            const says = timesteps === undefined ? '' : `; ${saysSampling(experiment.sampling, timesteps)}`
            terminal.err(`${experiment.name}: on ${executor.name} (${reason})${says}\n`)
            const { found, reported } = await run(
              evaluated(opened.evaluated, {
                dir,
                executor: stoppable(executor, stopping),
                version: version(),
                count: options.count ?? defaultCount,
                references: options.references ?? defaultReferences,
                ...(options.bitsPerDim === undefined
                  ? {}
                  : { bits: options.bitsPerDim === true ? defaultTimesteps : options.bitsPerDim }),
                ...(options.captions === undefined ? {} : { captions: options.captions }),
                seed: options.seed ?? experiment.seed,
                sampling: experiment.sampling,
                extractors: opened.extractors,
                held: owned.held,
                listener,
                ...(against === undefined ? {} : { against }),
              }),
            )
            if (!reported) terminal.err(`${join(dir, 'report.html')} is not there, or no report: it is left as it is\n`)
            terminal.out(showEvaluation(found))
            if (against !== undefined) terminal.out(showComparison(found, against.evaluation))
            return exitCodes.done
          }),
        ),
      ),
    )
  })

export const evaluate: Register = (command, { terminal, run }) => {
  command
    .argument('<run>', 'the folder of the run; evaluation.json and pictures are written there')
    .option(
      '--features <what>',
      'what pictures are compared by: pixels, first-stage, the folder of another run for its first stage, or a file with the weights of a known network; several times for several (default: pixels)',
      several,
      [],
    )
    .option('--count <n>', `samples in all (default: ${defaultCount})`, count)
    .option('--references <n>', `training pictures to compare with, at most (default: ${defaultReferences})`, count)
    .option(
      '--bits-per-dim [timesteps]',
      `the variational bound of held-out pictures, at so many timesteps that stand for all (default: ${defaultTimesteps})`,
      timesteps,
    )
    .option(
      '--captions <n>',
      'of generated shapes: how often what is drawn is what the caption says, of n captions',
      count,
    )
    .option('--against <file>', 'compare with this evaluation.json, or that of this run')
    .option('--guidance <scale>', 'of classifier-free guidance; 1 is none', notNegative)
    .option('--guidance-rescale <share>', 'how far guided predictions keep the spread of unguided ones', share)
    .option('--steps <n>', 'of the sampler', count)
    .addOption(new Option('--sampler <name>', 'how to go from noise to latents').choices(samplerNames))
    .addOption(new Option('--spacing <name>', 'where along the way the network is asked').choices(spacings))
    .option('--eta <number>', 'how much noise a sampler draws that can do without: 0 none', share)
    .option('--seed <n>', 'of the noise; that of the experiment where left out', natural)
    .addOption(checkpointOption())
    .option('--executor <name>', 'that of the experiment where left out')
    .addHelpText(
      'after',
      '\nExample:\n  latentgraph evaluate runs/emoji --features pixels --features vgg16-397923af.pth --count 1000',
    )
    .action((dir: string, options: Options) =>
      run(
        effect(async (go) => {
          await go(heldRun(dir, 'trained'))
          const { loadExperiment } = await import('../experiment/load.ts')
          const declared = await go(loadExperiment(join(dir, 'experiment.json')))
          const experiment = await go(TE.fromEither(withSampling(declared, options)))
          return go(session(dir, experiment, options, terminal))
        }),
      ),
    )
}
