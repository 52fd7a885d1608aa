import { freeze, input } from '../../declare/index.ts'
import { type Effect, effect } from '../../error.ts'
import { type Executor, floats, type Values } from '../../execute/executor.ts'
import type { FirstStage } from '../../experiment/document.ts'
import { firstStageLeaves, reconstructionGraph } from '../../experiment/first-stage.ts'
import { float } from '../../graph/types.ts'
import { ssims } from '../../metrics/index.ts'
import { lpips } from '../../nn/lpips.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { optimise } from '../../transform/index.ts'
import { batchFor, eachBatch, type Items, psnrs, type Rows } from '../inference.ts'
import { perceptualWeights } from '../perceptual-weights.ts'
import type { ReconstructionFigures } from './document.ts'

type Distance = (inputs: Items, made: Items) => Effect<readonly number[]>

/** LPIPS of pairs of pictures, where the experiment names its weights. Errors: those of the files. */
const perceptual = (
  executor: Executor,
  stage: FirstStage,
): Effect<{ readonly distance: Distance; readonly dispose: () => void } | undefined> =>
  effect(async (run) => {
    const { files, heads } = stage.loss.perceptual
    if (files.length === 0) return undefined
    const batch = batchFor(stage)
    const { resolution, inChannels } = stage.network
    const leaf = (name: string) => input(name, float(batch, inChannels, resolution, resolution), 'pixels in [-1, 1]')
    const { total } = lpips('loss.perceptual_loss', { heads })(leaf('inputs'), leaf('made'))
    const graph = await run(TE.fromEither(pipe(freeze({ total }), E.map(optimise))))
    const constants = await run(perceptualWeights(stage, { graph, carry: {} }))
    const executable = await run(executor.compile(graph, { mode: 'sampling', constants }))
    const fed = ({ shape, data }: Items) => {
      const whole = new Float32Array(batch * shape.reduce((a, b) => a * b, 1))
      whole.set(data)
      return floats([batch, ...shape], whole)
    }
    return {
      dispose: executable.dispose,
      distance: (inputs, made) =>
        pipe(
          executable.run({ inputs: fed(inputs), made: fed(made) }),
          TE.map(({ total: found }) => Array.from(found?.data ?? [], Number).slice(0, inputs.n)),
        ),
    }
  })

/** Of what a first stage makes of pictures: PSNR, SSIM and, where its weights are named, LPIPS, each the mean over the pictures. */
export const reconstructionFigures = (
  executor: Executor,
  stage: FirstStage,
  state: Values,
  pictures: Rows,
): Effect<ReconstructionFigures> =>
  effect(async (run) => {
    const [ofPsnr, ofSsim, ofLpips]: [number[], number[], number[]] = [[], [], []]
    const learned = await run(perceptual(executor, stage))
    try {
      await run(
        eachBatch(
          executor,
          reconstructionGraph(stage, batchFor(stage)),
          state,
          { leaf: firstStageLeaves.pixels, output: 'pixels', rows: pictures },
          (made, inputs) =>
            effect(async (go) => {
              ofPsnr.push(...psnrs(inputs, made))
              ofSsim.push(...ssims(inputs, made))
              if (learned !== undefined) ofLpips.push(...(await go(learned.distance(inputs, made))))
            }),
        ),
      )
    } finally {
      learned?.dispose()
    }
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
    return {
      count: pictures.n,
      psnr: mean(ofPsnr),
      ssim: mean(ofSsim),
      ...(ofLpips.length === 0 ? {} : { lpips: mean(ofLpips) }),
    }
  })
