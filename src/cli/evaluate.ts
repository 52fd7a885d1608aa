import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Option } from 'commander'
import { type Effect, effect, failure } from '../error.ts'
import { samplerNames, saysSampling } from '../experiment/sampling.ts'
import type { Shape } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { spacings } from '../schedulers/levels.ts'
import type { Evaluation, Extractor } from '../train/evaluation/index.ts'
import type { Progress } from '../train/progress.ts'
import { type Register, several } from './command.ts'
import { count, natural, notNegative, share } from './parse.ts'
import { type SamplingOptions, withSampling } from './sample.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes } from './terminal.ts'

interface Options extends SamplingOptions {
  readonly features: readonly string[]
  readonly count?: number
  readonly seed?: number
  readonly executor?: string
  readonly against?: string
}

/** Samples that are drawn where nobody says how many. */
const defaultCount = 256

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

/** The evaluation in a file, or in a run's folder. Errors: `file`. */
const readEvaluation = (path: string): Effect<{ readonly path: string; readonly evaluation: Evaluation }> =>
  effect(async (run) => {
    const { evaluation } = await import('../train/evaluation/index.ts')
    const { parseJsonText } = await import('../experiment/json-text.ts')
    const { readBytes } = await import('../io/bytes.ts')
    const { decode } = await import('../schema.ts')
    const file = (await isFolder(path)) ? join(path, 'evaluation.json') : path
    const text = new TextDecoder().decode(await run(readBytes(file)))
    const found = pipe(parseJsonText(text, file), E.flatMap(decode(evaluation, { tag: 'file', base: file })))
    return { path: file, evaluation: await run(TE.fromEither(found)) }
  })

/** How many classes the pictures of a run have. */
const classesIn = (dir: string): Effect<number> =>
  effect(async (run) => {
    const { dataFile } = await import('../train/opening.ts')
    const { parseDataFacts } = await import('../train/data-facts.ts')
    const { readBytes } = await import('../io/bytes.ts')
    const path = dataFile(dir)
    if (!existsSync(path)) return 0
    const text = new TextDecoder().decode(await run(readBytes(path)))
    return (await run(TE.fromEither(parseDataFacts(text, path)))).classes.length
  })

/** What `--features` names: colours, the run's own first stage, another run's, a network in a file. Errors: `usage`, `file`. */
const extractorFor = (own: string, name: string, shape: Shape): Effect<Extractor> =>
  effect(async (run) => {
    const { firstStageExtractor, networkExtractor, pixelExtractor } = await import('../train/evaluation/index.ts')
    const { openFirstStage } = await import('./trained-run.ts')
    if (name === 'pixels') return pixelExtractor(shape)
    const dir = name === 'first-stage' ? own : name
    if (name !== 'first-stage' && !(await isFolder(name))) return run(networkExtractor(name, shape))
    const { autoencoder, state } = await run(openFirstStage(dir, await run(classesIn(dir))))
    return run(TE.fromEither(firstStageExtractor('first-stage', { stage: autoencoder, state }, shape)))
  })

/** Pictures are compared with those that the run was trained on, and no others. Errors: `data`, `file`. */
const dataOf = (dir: string, e: Parameters<typeof withSampling>[0]) =>
  effect(async (run) => {
    const { loadData, parted } = await import('../train/data.ts')
    const { dataFacts, parseDataFacts, sameData } = await import('../train/data-facts.ts')
    const { dataFile } = await import('../train/opening.ts')
    const { readBytes } = await import('../io/bytes.ts')
    const dataset = await run(loadData(e))
    const path = dataFile(dir)
    if (existsSync(path)) {
      const was = await run(TE.fromEither(parseDataFacts(new TextDecoder().decode(await run(readBytes(path))), path)))
      await run(TE.fromEither(sameData('path' in e.data ? e.data.path : e.data.kind, was, dataFacts(dataset))))
    }
    return run(TE.fromEither(parted(e, dataset)))
  })

export const evaluate: Register = (program, { terminal, run }) => {
  program
    .command('evaluate')
    .description(
      'measure a trained run: reconstructions, distances of samples to the pictures it was trained on, copies',
    )
    .argument('<run>', 'the folder of the run; evaluation.json and pictures are written there')
    .option(
      '--features <what>',
      'what pictures are compared by: pixels, first-stage, the folder of another run for its first stage, or a file with the weights of a known network; several times for several (default: pixels)',
      several,
      [],
    )
    .option('--count <n>', `samples in all (default: ${defaultCount})`, count)
    .option('--against <file>', 'compare with this evaluation.json, or that of this run')
    .option('--guidance <scale>', 'of classifier-free guidance; 1 is none', notNegative)
    .option('--steps <n>', 'of the sampler', count)
    .addOption(new Option('--sampler <name>', 'how to go from noise to latents').choices(samplerNames))
    .addOption(new Option('--spacing <name>', 'where along the way the network is asked').choices(spacings))
    .option('--eta <number>', 'how much noise a sampler draws that can do without: 0 none', share)
    .option('--seed <n>', 'of the noise; that of the experiment where left out', natural)
    .option('--executor <name>', 'that of the experiment where left out')
    .addHelpText(
      'after',
      '\nExample:\n  latentgraph evaluate runs/emoji --features pixels --features vgg16-397923af.pth --count 1000',
    )
    .action((dir: string, options: Options) =>
      run(
        effect(async (go) => {
          const { loadExperiment } = await import('../experiment/load.ts')
          const { evaluate: evaluated } = await import('../train/evaluation/index.ts')
          const { owning } = await import('../io/owner.ts')
          const { progress } = await import('../train/progress.ts')
          const { stoppable } = await import('../train/stop.ts')
          const { openFirstStage, openRun } = await import('./trained-run.ts')
          const { chooseExecutor } = await import('./session.ts')
          const { version } = await import('./package.ts')
          const { showComparison, showEvaluation } = await import('./evaluation-text.ts')
          const declared = await go(loadExperiment(join(dir, 'experiment.json')))
          const experiment = await go(TE.fromEither(withSampling(declared, options)))
          const against = options.against === undefined ? undefined : await go(readEvaluation(options.against))
          const names = options.features.length === 0 ? ['pixels'] : options.features
          const twice = names.find((name, i) => names.indexOf(name) !== i)
          if (twice !== undefined)
            await go(TE.left([failure('usage', '--features', 'each extractor once', `${twice} twice`)]))
          const choice = await go(chooseExecutor(options.executor ?? experiment.executor))
          const now: { what: string; bar?: Progress; name?: string } = { what: 'opening the run' }
          const end = (): void => {
            now.bar?.done()
            delete now.bar
          }
          const stop = stopOnSignals(() => {
            end()
            terminal.err(`stopped while ${now.what}; nothing was written\n`)
            process.exit(stop.exitCode())
          })
          try {
            return await go(
              owning(dir, (owned) =>
                effect(async (own) => {
                  const data = await own(dataOf(dir, experiment))
                  const shape = [data.train.channels, data.train.height, data.train.width]
                  const extractors: Extractor[] = []
                  for (const name of names) extractors.push(await own(extractorFor(dir, name, shape)))
                  const trained = experiment.diffusion === undefined ? undefined : await own(openRun(dir))
                  const first =
                    trained === undefined
                      ? await own(openFirstStage(dir, data.train.classes.length))
                      : { state: trained.firstStage, checkpoint: undefined }
                  const timesteps = trained?.model.config.schedule.timesteps ?? 0
                  terminal.err(
                    `${experiment.name}: on ${choice.executor.name} (${choice.reason})${
                      trained === undefined ? '' : `; ${saysSampling(experiment.sampling, timesteps)}`
                    }\n`,
                  )
                  const { found, reported } = await own(
                    evaluated(
                      {
                        experiment,
                        data,
                        firstStage: first.state,
                        checkpoints: trained?.checkpoints ?? (first.checkpoint === undefined ? [] : [first.checkpoint]),
                        ...(trained === undefined
                          ? {}
                          : { diffusion: { model: trained.model, state: trained.diffusion, scale: trained.scale } }),
                      },
                      {
                        dir,
                        executor: stoppable(choice.executor, stop.requested),
                        version: version(),
                        count: options.count ?? defaultCount,
                        seed: options.seed ?? experiment.seed,
                        sampling: experiment.sampling,
                        extractors,
                        ...(against === undefined ? {} : { against }),
                        listener: {
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
                        },
                      },
                    ),
                  )
                  await own(owned.held)
                  terminal.out(showEvaluation(found))
                  if (!reported)
                    terminal.err(`${join(dir, 'report.html')} is not there, or no report: it is left as it is\n`)
                  if (against !== undefined) terminal.out(showComparison(found, against.evaluation))
                  return exitCodes.done
                }),
              ),
            )
          } finally {
            stop.dispose()
          }
        }),
      ),
    )
}
