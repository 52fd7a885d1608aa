import { freeze, input, type Tensor } from '../../declare/index.ts'
import { type Checked, fail, failure } from '../../error.ts'
import { type Executor, floats, type Value, type Values } from '../../execute/executor.ts'
import { type FirstStage, firstStage } from '../../experiment/document.ts'
import { firstStageLeaves, firstStageStart } from '../../experiment/first-stage.ts'
import { quantize } from '../../experiment/quantize.ts'
import { type Graph, noises, parameters } from '../../graph/graph.ts'
import { float, size } from '../../graph/types.ts'
import { adversarialKinds, norms, weightAt } from '../../losses/index.ts'
import { encode } from '../../nn/autoencoder/autoencoder.ts'
import { publishedAutoencoder } from '../../nn/index.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { anything, decode, flag, integer, list, number, record, withDefault, word } from '../../schema.ts'
import { firstStageStep } from '../../train/plan.ts'
import { startingState } from '../../train/stage.ts'
import { optimise } from '../../transform/index.ts'
import { type Case, toValue } from '../case.ts'
import { type FormulaParameters, formulaOf } from '../formula.ts'
import { adapter, type Plan } from '../plan.ts'
import { runGraph, type Stepped, scalarValue } from '../stepping.ts'
import { rows } from './latent-diffusion-loop.ts'

/** Whole steps of autoencoders and their discriminators, in the reference's order, through the experiment's own road. */

const positive = integer({ min: 1 })
const contest = {
  /** LPIPS' weights are in no case. */
  required: { disc_start: number(), perceptual_weight: number({ min: 0, max: 0 }) },
  defaulted: {
    disc_factor: withDefault(number(), 1),
    disc_weight: withDefault(number(), 1),
    disc_loss: withDefault(word(adversarialKinds), 'hinge'),
    disc_num_layers: withDefault(positive, 3),
    disc_ndf: withDefault(positive, 64),
    use_actnorm: withDefault(flag, false),
  },
}
const klLoss = record(contest.required, {
  ...contest.defaulted,
  kl_weight: withDefault(number(), 1),
  logvar_init: withDefault(number(), 0),
})
const vqLoss = record(
  contest.required,
  { ...contest.defaulted, codebook_weight: withDefault(number(), 1), pixel_loss: withDefault(word(norms), 'l1') },
  { n_classes: positive },
)
type Contest = Omit<(typeof klLoss)['_A'], 'kl_weight' | 'logvar_init'>

const common = { ddconfig: anything, embed_dim: positive, lr: number(), steps: positive }
const betas = withDefault(list(number()), [0.5, 0.9])
const klConfig = record({ ...common, loss: klLoss }, { betas })
const vqConfig = record(
  { ...common, n_embed: positive, loss: vqLoss },
  {
    betas,
    lr_g_factor: withDefault(number(), 1),
    beta: withDefault(number(), 0.25),
    legacy: withDefault(flag, true),
  },
)
type Common = Pick<(typeof klConfig)['_A'], 'ddconfig' | 'embed_dim' | 'lr' | 'steps' | 'betas'> & {
  readonly loss: Contest
}

/** What both kinds of first stage have in common, as an experiment declares it. */
const declared = (config: Common, network: unknown, rate: number, c: Case) => {
  const { loss } = config
  const optimizer = { kind: 'adam', betas: config.betas }
  return {
    network,
    training: {
      steps: config.steps,
      batchSize: c.inputs['step0.image']?.shape[0] ?? 0,
      optimizer,
      learningRate: { kind: 'constant', rate },
    },
    adversarial: {
      factor: { start: loss.disc_start, unit: 'steps', weight: loss.disc_factor },
      loss: loss.disc_loss,
      generator: { weight: loss.disc_weight },
      discriminator: {
        channels: loss.disc_ndf,
        layers: loss.disc_num_layers,
        norm: loss.use_actnorm ? 'act' : 'batch',
      },
      order: 'alternating',
      optimizer,
      learningRate: { kind: 'constant', rate: config.lr },
    },
  }
}

/** [N, H, W, C] to [N, C, H, W]. */
const channelsFirst = ({ shape: [n = 0, h = 0, w = 0, c = 0], data }: Value): Value =>
  floats(
    [n, c, h, w],
    Float64Array.from({ length: n * c * h * w }, (_, i) => {
      const [x, y] = [i % w, Math.floor(i / w) % h]
      const [channel, item] = [Math.floor(i / (w * h)) % c, Math.floor(i / (w * h * c))]
      return data[((item * h + y) * w + x) * c + channel] ?? Number.NaN
    }),
  )

const arrayOf = (c: Case, name: string): Value | undefined => {
  const array = c.inputs[name]
  return array === undefined ? undefined : toValue(array)
}

/** The batch of a step: pictures, and the draws of both forward passes where the graph has them. */
const fedBatch = (c: Case, graph: Graph, step: number): Values => {
  const image = arrayOf(c, `step${step}.image`)
  const drawn = noises(graph).flatMap(({ name }) => {
    const value = arrayOf(c, `step${step}.noise${name.endsWith('.second') ? 1 : 0}`)
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    ...(image === undefined ? {} : { [firstStageLeaves.pixels]: channelsFirst(image) }),
    ...Object.fromEntries(drawn),
  }
}

/** Logged values, the state after each step, and what the running statistics are in the end. */
const reported = (c: Case, formula: FormulaParameters, start: Values, steps: readonly Stepped[]): Values => {
  const last = steps.at(-1)?.state ?? {}
  return {
    ...Object.assign(
      {},
      ...steps.map(({ outputs, state }, s) => ({
        ...Object.fromEntries(
          Object.entries(outputs).map(([name, x]) => [
            name === 'loss'
              ? `out.step${s}.loss0`
              : name === 'discriminator_loss'
                ? `out.step${s}.loss1`
                : `out.step${s}.log.train/${name}`,
            x,
          ]),
        ),
        [`out.step${s}.params`]: rows(formula, (key) => state[key] ?? start[key]),
      })),
    ),
    ...Object.fromEntries(
      Object.keys(c.expected).flatMap((out) => {
        const value = last[out.replace('out.buffer.', '')]
        return out.startsWith('out.buffer.') && value !== undefined ? [[out, value] as const] : []
      }),
    ),
  }
}

/** The codes of each step's pictures, by the parameters before it. */
const codesBefore = (stage: FirstStage, c: Case, states: readonly Values[]) => (executor: Executor) => {
  const shape = arrayOf(c, 'step0.image')?.shape ?? []
  const [n = 0, h = 0, w = 0, channels = 0] = shape
  const pixels = input(firstStageLeaves.pixels, float(n, channels, h, w))
  if (stage.kind !== 'vq') return TE.right<never, Values>({})
  const codes: Tensor = pipe(
    pixels,
    encode('', stage.network),
    quantize(stage.quantizer, { training: false, noise: '' }),
  ).codes
  return pipe(
    freeze({ codes }),
    E.map(optimise),
    TE.fromEither,
    TE.flatMap((graph) =>
      pipe(
        executor.compile(graph, { mode: 'training' }),
        TE.flatMap((executable) =>
          pipe(
            states.map((state, s) => ({ state, s })),
            TE.traverseSeqArray(({ state, s }) =>
              pipe(
                executable.run({
                  ...Object.fromEntries(
                    parameters(graph).flatMap(({ name }) => {
                      const value = state[name]
                      return value === undefined ? [] : [[name, value] as const]
                    }),
                  ),
                  ...fedBatch(c, graph, s),
                }),
                TE.flatMap(({ codes: found }) =>
                  found === undefined
                    ? TE.left([failure('run', 'codes', 'an output of this name', 'none')] as const)
                    : TE.right([`out.step${s}.indices`, { ...found, shape: [size(found.shape)] }] as const),
                ),
              ),
            ),
            TE.tapIO(() => executable.dispose),
          ),
        ),
        TE.map((entries): Values => Object.fromEntries(entries)),
      ),
    ),
  )
}

const loopPlan = (config: Common, stage: FirstStage, c: Case): Checked<Plan> =>
  pipe(
    E.Do,
    E.bind('formula', () => {
      const formula = formulaOf(c)
      return formula === undefined
        ? fail('data', c.file.path, 'param_seed and params, for the formula', 'none')
        : E.right(formula)
    }),
    E.bind('plan', () => firstStageStep(stage)),
    E.bind('start', () => firstStageStart(stage, stage.training.batchSize)),
    E.map(({ formula, plan, start: firstBatch }): Plan => {
      const listed = Object.fromEntries(formula.shapes.map(([key, shape]) => [key, formula.valueAt(key, shape)]))
      // Not by the formula: the reference's loss sets it.
      const start: Values = { ...listed, ...logvarOf(stage) }
      const initial = Object.fromEntries(
        Object.entries(plan.initial(0)).map(([name, value]) => [name, start[name] ?? value]),
      )
      const { graph, carry } = plan
      const factor = stage.adversarial?.factor
      const feeds = Array.from({ length: config.steps }, (_, s) => ({
        ...plan.hostFeeds(s),
        ...fedBatch(c, graph, s),
        [firstStageLeaves.factor]: scalarValue(
          factor === undefined ? 0 : weightAt(factor)({ steps: s, epochs: 0, samples: 0 }),
        ),
      }))
      return {
        kind: 'effect',
        run: (executor) =>
          pipe(
            startingState(executor, firstBatch, initial, feeds[0] ?? {}),
            TE.flatMap((begun) => runGraph({ graph, carry, initial: begun, feeds })(executor)),
            TE.flatMap((steps) =>
              pipe(
                codesBefore(stage, c, [initial, ...steps.slice(0, -1).map(({ state }) => state)])(executor),
                TE.map((codes) => ({ ...reported(c, formula, start, steps), ...codes })),
              ),
            ),
          ),
      }
    }),
  )
const logvarOf = (stage: FirstStage): Values =>
  stage.kind === 'kl' ? { 'loss.logvar': scalarValue(stage.loss.logvar.initial) } : {}

const stageOf = (config: Common, c: Case, of: (network: unknown) => unknown): Checked<FirstStage> =>
  pipe(
    publishedAutoencoder(config.ddconfig, config.embed_dim, `${c.file.path}: config/ddconfig`),
    E.flatMap((network) => pipe(of(network), decode(firstStage, { base: `${c.file.path}: config` }))),
  )

export const klLoop = adapter(klConfig, (config, c) =>
  pipe(
    stageOf(config, c, (network) => ({
      kind: 'kl',
      ...declared(config, network, config.lr, c),
      loss: { klWeight: config.loss.kl_weight, logvar: { initial: config.loss.logvar_init } },
    })),
    E.flatMap((stage) => loopPlan(config, stage, c)),
  ),
)

export const vqLoop = adapter(vqConfig, (config, c) =>
  pipe(
    stageOf(config, c, (network) => ({
      kind: 'vq',
      ...declared(config, network, config.lr * config.lr_g_factor, c),
      quantizer: {
        kind: 'nearest',
        entries: config.n_embed,
        beta: config.beta,
        weighs: config.legacy ? 'legacyBeta' : 'beta',
      },
      loss: { pixel: config.loss.pixel_loss, codebookWeight: config.loss.codebook_weight },
    })),
    E.flatMap((stage) => loopPlan(config, stage, c)),
  ),
)
