import { type Checked, type Effect, fail } from '../../error.ts'
import { type Executor, floats, type Value, type Values } from '../../execute/executor.ts'
import { type FirstStage, firstStage } from '../../experiment/document.ts'
import { codesGraph, firstStageLeaves, firstStageStart } from '../../experiment/first-stage.ts'
import type { Pictures } from '../../experiment/pictures.ts'
import { type Graph, noises, parameters } from '../../graph/graph.ts'
import { size } from '../../graph/types.ts'
import { adversarialKinds, norms, weightAt } from '../../losses/index.ts'
import { publishedAutoencoder, type Remap } from '../../nn/index.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import { anything, decode, flag, integer, list, number, record, withDefault, word } from '../../schema.ts'
import { weightsFor } from '../../train/inference.ts'
import { firstStageStep } from '../../train/plan.ts'
import { startingState } from '../../train/stage.ts'
import { initialValue } from '../../train/state.ts'
import type { StepPlan } from '../../train/step.ts'
import { type Case, toValue } from '../case.ts'
import { type FormulaParameters, formulaOf, parameterOf } from '../formula.ts'
import { adapter, type Plan } from '../plan.ts'
import { runGraph, type Stepped, scalarValue } from '../stepping.ts'
import { uninitialized } from './discriminator.ts'
import { rows } from './latent-diffusion-loop.ts'
import { remapConfig, remapOf } from './quantize.ts'

/** Whole steps of autoencoders and their discriminators, in the reference's order, through the experiment's own road. */

const positive = integer({ min: 1 })
const contest = {
  required: { disc_start: number() },
  defaulted: {
    perceptual_weight: withDefault(number(), 1),
    disc_factor: withDefault(number(), 1),
    disc_weight: withDefault(number(), 1),
    disc_loss: withDefault(word(adversarialKinds), 'hinge'),
    disc_num_layers: withDefault(positive, 3),
    disc_ndf: withDefault(positive, 64),
    use_actnorm: withDefault(flag, false),
  },
  optional: {
    /** Without effect in the reference. */
    pixelloss_weight: number(),
    /** The pictures tell. */
    disc_in_channels: positive,
    disc_conditional: flag,
    perceptual: anything,
  },
}
const klLoss = record(
  contest.required,
  { ...contest.defaulted, kl_weight: withDefault(number(), 1), logvar_init: withDefault(number(), 0) },
  contest.optional,
)
const vqLoss = record(
  contest.required,
  { ...contest.defaulted, codebook_weight: withDefault(number(), 1), pixel_loss: withDefault(word(norms), 'l1') },
  { ...contest.optional, n_classes: positive, perceptual_loss: word(['lpips']) },
)
type Contest = Omit<(typeof klLoss)['_A'], 'kl_weight' | 'logvar_init'>

const common = { ddconfig: anything, embed_dim: positive, lr: number(), steps: positive }
const betas = withDefault(list(number()), [0.5, 0.9])
/** The seed of LPIPS' trunk, here or beside the loss' own settings. */
const optional = { perceptual: anything }
const klConfig = record({ ...common, loss: klLoss }, { betas }, optional)
const vqConfig = record(
  { ...common, n_embed: positive, loss: vqLoss },
  {
    betas,
    lr_g_factor: withDefault(number(), 1),
    beta: withDefault(number(), 0.25),
    legacy: withDefault(flag, true),
    sane_index_shape: withDefault(flag, false),
  },
  { ...optional, ...remapConfig },
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
      batchSize: picturesOf(c).count,
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

const picturesOf = (c: Case): Pictures => {
  const [count = 0, height = 0, width = 0] = c.inputs['step0.image']?.shape ?? []
  return { count, side: [height, width] }
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

/** Weights that no step moves: LPIPS'. The loss' own scope may be left out of their names. */
const frozen = (c: Case, formula: FormulaParameters, { graph, carry }: StepPlan): Checked<Values> => {
  const parameter = parameterOf(c, formula)
  return pipe(
    parameters(graph).filter(({ name }) => !Object.hasOwn(carry, name)),
    E.traverseArray((p) => {
      const start = p.init.kind === 'values' ? initialValue(0, p) : undefined
      const named = [p.name, p.name.replace(/^loss\./, '')].find((name) => Object.hasOwn(c.params, name)) ?? p.name
      return pipe(
        parameter(named, p.shape, start),
        E.map((value) => [p.name, value] as const),
      )
    }),
    E.map((entries): Values => Object.fromEntries(entries)),
  )
}

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
const codesBefore =
  (graph: Graph, c: Case, states: readonly Values[]) =>
  (executor: Executor): Effect<Values> =>
    pipe(
      executor.compile(graph, { mode: 'training' }),
      TE.flatMap((executable) =>
        pipe(
          states.map((state, s) => ({ state, s })),
          TE.traverseSeqArray(({ state, s }) =>
            pipe(
              executable.run({ ...weightsFor(graph, state), ...fedBatch(c, graph, s) }),
              TE.map(
                ({ codes }): Values =>
                  codes === undefined
                    ? {}
                    : {
                        [`out.step${s}.indices`]: {
                          ...codes,
                          shape: c.expected[`out.step${s}.indices`]?.shape ?? [size(codes.shape)],
                        },
                      },
              ),
            ),
          ),
          TE.tapIO(() => executable.dispose),
        ),
      ),
      TE.map((found): Values => Object.assign({}, ...found)),
    )

const loopPlan = (config: Common, stage: FirstStage, c: Case): Checked<Plan> =>
  pipe(
    E.Do,
    E.bind('formula', () => {
      const formula = formulaOf(c)
      return formula === undefined
        ? fail('data', c.file.path, 'param_seed and params, for the formula', 'none')
        : E.right(formula)
    }),
    E.let('pictures', () => picturesOf(c)),
    E.bind('plan', ({ pictures }) => firstStageStep(stage, pictures)),
    E.bind('start', ({ pictures }) => (uninitialized(c) ? firstStageStart(stage, pictures) : E.right(undefined))),
    E.bind('codes', ({ pictures }) => (stage.kind === 'vq' ? codesGraph(stage, pictures) : E.right(undefined))),
    E.bind('constants', ({ formula, plan }) => frozen(c, formula, plan)),
    E.map(({ formula, plan, start: firstBatch, codes, constants }): Plan => {
      const listed = Object.fromEntries(formula.shapes.map(([key, shape]) => [key, formula.valueAt(key, shape)]))
      // Not by the formula: the reference's loss sets it.
      const start: Values = { ...listed, ...logvarOf(stage), ...RR.map(toValue)(c.params) }
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
            TE.flatMap((begun) => runGraph({ graph, carry, initial: begun, feeds, constants })(executor)),
            TE.flatMap((steps) =>
              pipe(
                codes === undefined
                  ? TE.right({})
                  : codesBefore(codes, c, [initial, ...steps.slice(0, -1).map(({ state }) => state)])(executor),
                TE.map((chosen) => ({ ...reported(c, formula, start, steps), ...chosen })),
              ),
            ),
          ),
      }
    }),
  )
const logvarOf = (stage: FirstStage): Values =>
  stage.kind === 'kl' ? { 'loss.logvar': scalarValue(stage.loss.logvar.initial) } : {}

/** As the reference has it, only where it counts is a distance measured. */
const perceptualOf = ({ perceptual_weight: weight }: Contest) => ({ weight: Math.max(weight, 0) })

const stageOf = (config: Common, c: Case, of: (network: unknown) => unknown): Checked<FirstStage> =>
  pipe(
    config.loss.disc_conditional === true
      ? fail('config', `${c.file.path}: config/loss/disc_conditional`, 'false, as training passes no condition', 'true')
      : publishedAutoencoder(config.ddconfig, config.embed_dim, `${c.file.path}: config/ddconfig`),
    E.flatMap((network) => pipe(of(network), decode(firstStage, { base: `${c.file.path}: config` }))),
  )

/** The reference's KL loss takes the gradients' norms only where the contest may count. */
const weighed = (loss: Contest) => (loss.disc_factor > 0 ? loss.disc_weight : 0)

export const klLoop = adapter(klConfig, (declaration, c) => {
  const config = { ...declaration, loss: { ...declaration.loss, disc_weight: weighed(declaration.loss) } }
  return pipe(
    stageOf(config, c, (network) => ({
      kind: 'kl',
      ...declared(config, network, config.lr, c),
      loss: {
        klWeight: config.loss.kl_weight,
        logvar: { initial: config.loss.logvar_init },
        perceptual: perceptualOf(config.loss),
      },
    })),
    E.flatMap((stage) => loopPlan(config, stage, c)),
  )
})

const declaredUnknown = ({ unknown }: Remap) =>
  typeof unknown === 'number' ? { kind: 'index', index: unknown } : { kind: unknown }

export const vqLoop = adapter(vqConfig, (config, c) =>
  pipe(
    remapOf(c, config),
    E.flatMap((remap) =>
      stageOf(config, c, (network) => ({
        kind: 'vq',
        ...declared(config, network, config.lr * config.lr_g_factor, c),
        quantizer: {
          kind: 'nearest',
          entries: config.n_embed,
          beta: config.beta,
          weighs: config.legacy ? 'legacyBeta' : 'beta',
          ...(remap === undefined ? {} : { remap: { used: remap.used, unknown: declaredUnknown(remap) } }),
        },
        loss: {
          pixel: config.loss.pixel_loss,
          codebookWeight: config.loss.codebook_weight,
          perceptual: perceptualOf(config.loss),
        },
      })),
    ),
    E.flatMap((stage) => loopPlan(config, stage, c)),
  ),
)
