import { join } from 'node:path'
import { type Effect, effect, fail } from '../error.ts'
import type { Model } from '../execute/onnx/proto.ts'
import { saysSampling } from '../experiment/sampling.ts'
import { writeContentAtomic } from '../io/atomic.ts'
import { asArgument } from '../io/names.ts'
import { TE } from '../prelude.ts'
import { openRun, type TrainedRun, type WeightOptions } from '../run/trained-run.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

/** A run as ONNX files of standard operators, for whatever reads those. */

const networkDocs: Readonly<Record<string, string>> = {
  denoiser: 'x_t [1, C, h, w], t [1], and what the model is told, to its prediction at one step.',
  text_encoder: 'tokens int32 [1, positions] to the states that the denoiser attends to; an empty text likewise.',
  encoder:
    'pixels [1, 3, H, W] in [-1, 1] to moments (KL: means, then logarithms of variances) or latents (VQ), not scaled.',
  decoder: 'latents [1, C, h, w], not scaled, to pixels [1, 3, H, W] in [-1, 1].',
}

const toldDocs = ({ classes, model, tokens }: TrainedRun): readonly string[] => [
  ...(model.conditioner.classes === null
    ? []
    : [`labels int32 [1]: ${classes.map((name, i) => `${i} ${name}`).join(', ')}.`]),
  ...(tokens === undefined
    ? []
    : [`tokens int32 [1, positions]: a prompt's; of an empty one ${tokens.row('').ids.join(' ')}.`]),
]
const samplerDoc = (run: TrainedRun): string =>
  [
    `${run.experiment.name}: a picture from a seed, all steps within. ${saysSampling(run.experiment.sampling, run.model.config.schedule.timesteps)}.`,
    'seed int64, from 0 to 2^53 - 1: noise is drawn within the graph, by Threefry-2x32, as latentgraph sample draws it for its first picture.',
    ...toldDocs(run),
    'picture uint8 [H, W, 3].',
    `The predictions at each step are of ${run.model.config.predicts}; latents are the first stage's times ${run.scale}.`,
  ].join('\n')

/** Writes a model as its files, says them. */
const wrote = (
  { out, half }: { readonly out: string; readonly half: boolean },
  { name, model, doc }: { readonly name: string; readonly model: Model; readonly doc: string },
  terminal: Terminal,
): Effect<void> =>
  effect(async (go) => {
    const { inHalf } = await import('../execute/onnx/portable.ts')
    const { portableFiles } = await import('../train/portable/files.ts')
    for (const file of portableFiles(name, half ? inHalf(model) : model, doc)) {
      await go(writeContentAtomic(join(out, file.name), file.content))
      terminal.out(`${join(out, file.name)}\n`)
    }
  })

/** A published model's networks, one after the other, so that one of them is in memory. Errors: `file`, `shape`. */
const exportPublishedOnnx = (dir: string, out: string, half: boolean, terminal: Terminal): Effect<Outcome> =>
  effect(async (go) => {
    const { withPublishedRun } = await import('../pipelines/run-files.ts')
    const { portableModel, portableNetworks } = await import('../pipelines/portable.ts')
    await go(
      withPublishedRun(dir, (pipeline) =>
        effect(async (within) => {
          const networks = await within(TE.fromEither(portableNetworks(pipeline)))
          for (const { name, doc, ...network } of networks) {
            const model = await within(portableModel({ name, doc, ...network }, pipeline.weights))
            await within(wrote({ out, half }, { name, model, doc }, terminal))
          }
        }),
      ),
    )
    terminal.err(
      `Operators of ai.onnx alone, opset 21, of one picture of the size that the model is for; each file's doc string says what goes in. sampler.onnx is not written: ${asArgument(dir)} is a published model, whose sampler is chosen when it draws\n`,
    )
    return exitCodes.done
  })

/** Errors: `config`, `shape`, `file`, `training`, `usage`. */
export const exportOnnx = (
  dir: string,
  out: string,
  { half, ...options }: WeightOptions & { readonly half: boolean },
  terminal: Terminal,
): Effect<Outcome> =>
  effect(async (go) => {
    const { isPublishedRun } = await import('../pipelines/run-files.ts')
    if (await isPublishedRun(dir)) {
      const asked = options.ema !== undefined ? '--ema' : options.checkpoint !== undefined ? '--checkpoint' : undefined
      return asked === undefined
        ? go(exportPublishedOnnx(dir, out, half, terminal))
        : go(TE.fromEither(fail('usage', asked, 'a run that was trained here', dir)))
    }
    const { networkModels } = await import('../train/portable/networks.ts')
    const { samplerModel } = await import('../train/portable/sampler.ts')
    const run = await go(openRun(dir, options))
    const networks = await go(TE.fromEither(networkModels(run)))
    const isTold = run.model.conditioner.pictures === undefined
    const sampler = isTold ? await go(TE.fromEither(samplerModel(run))) : undefined
    const files = [
      ...Object.entries(networks).map(([name, model]) => ({ name, model, doc: networkDocs[name] ?? '' })),
      ...(sampler === undefined ? [] : [{ name: 'sampler', model: sampler, doc: samplerDoc(run) }]),
    ]
    for (const file of files) await go(wrote({ out, half }, file, terminal))
    if (run.words !== undefined) {
      const { writeWords } = await import('../train/texts.ts')
      await go(writeWords(out, run.words))
    }
    if (sampler === undefined) terminal.err('sampler.onnx is not written: the model is told pictures\n')
    else
      terminal.err(
        `Operators of ai.onnx alone, opset 21. In Python: onnxruntime.InferenceSession(${JSON.stringify(join(out, 'sampler.onnx'))}).run(['picture'], { ${sampler.inputs.map(({ name }) => `'${name}': ...`).join(', ')} }); its doc string says more. The same picture: npx latentgraph sample ${asArgument(dir)} --count 1\n`,
      )
    return exitCodes.done
  })
