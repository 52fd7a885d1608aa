import { type LatentError, showError } from '../error.ts'
import { effectiveBatch, type Training } from '../experiment/document.ts'
import { type Cost, cost } from '../graph/cost.ts'
import { type Graph, nodeAt } from '../graph/graph.ts'
import type { OpKind } from '../graph/ops.ts'
import type { Half, Shape } from '../graph/types.ts'
import { type Intent, lint, optimise, prune } from '../transform/index.ts'
import { type Block, blocksOf, type NamedShape } from './blocks.ts'

/** A stage of an experiment, as far as `check` looks at it. */
export interface CheckedStage {
  readonly name: string
  readonly section: string
  readonly parameters: readonly (NamedShape & { readonly trainable: boolean })[]
  /** The training step as declared. */
  readonly declared: Graph
  /** The training step as it runs. */
  readonly graph: Graph
  readonly intent: Intent
  readonly training: Training
  /** What is trained of a network that stays as it is. */
  readonly adapter?: { readonly kind: string; readonly says: string }
  /** Text encoders that it is told by, which stay as they are. */
  readonly texts?: HeldEncoders
  /** What the step takes without its memory budget. */
  readonly unbudgeted?: Pick<Cost, 'peakBytes' | 'flops'>
  /** What the step takes in float32, where it is in half precision. */
  readonly inFloat32?: Pick<Cost, 'peakBytes'>
}

export interface HeldEncoders {
  readonly from: string
  readonly encoders: readonly { readonly kind: string; readonly positions: number }[]
  readonly parameters: number
  /** Of a caption, which is encoded once, and of what comes of it on the disk. */
  readonly flops: number
  readonly bytes: number
}

/** What can be said of a stage before it runs. */
export interface StageReport {
  readonly name: string
  readonly section: string
  readonly parameters: CheckedStage['parameters']
  readonly forward: Cost
  readonly step: Cost
  readonly lint: readonly LatentError[]
  readonly training: Training
  readonly adapter?: CheckedStage['adapter']
  readonly texts?: CheckedStage['texts']
  readonly unbudgeted?: CheckedStage['unbudgeted']
  readonly half?: HalfReport | undefined
}

/** What of a step is in half precision. */
export interface HalfReport {
  readonly dtype: Half
  /** Of the convolutions and products. */
  readonly products: number
  readonly allProducts: number
  readonly casts: number
  /** In float32. */
  readonly peakBytes: number
}

const products: readonly OpKind[] = ['conv2d', 'convInputGrad', 'convWeightGrad', 'matmul']
const halfReport = (g: Graph, { precision }: Training, peakBytes: number): HalfReport | undefined => {
  if (precision === 'float32') return undefined
  const isHalf = (i: number): boolean => {
    const { op, type, operands } = nodeAt(g, i)
    return type.dtype === precision || (op === 'cast' && operands.some(isHalf))
  }
  const all = g.nodes.filter((n) => products.includes(n.op))
  return {
    dtype: precision,
    products: all.filter((n) => n.operands.every(isHalf)).length,
    allProducts: all.length,
    casts: g.nodes.filter((n) => n.op === 'cast').length,
    peakBytes,
  }
}

export const reportStage = ({ declared, graph, intent, ...stage }: CheckedStage): StageReport => ({
  name: stage.name,
  section: stage.section,
  parameters: stage.parameters,
  forward: cost(optimise(prune(intent.losses)(declared))),
  step: cost(graph),
  lint: lint(declared, intent),
  training: stage.training,
  adapter: stage.adapter,
  texts: stage.texts,
  unbudgeted: stage.unbudgeted,
  half: stage.inFloat32 && halfReport(graph, stage.training, stage.inFloat32.peakBytes),
})

export const shapesOf = (parameters: readonly NamedShape[]): Readonly<Record<string, Shape>> =>
  Object.fromEntries(parameters.map(({ name, shape }) => [name, shape]))

/** For programs; sections as published checkpoints have them. */
export const jsonReport = (stages: readonly StageReport[], notes: readonly string[]): object => ({
  parameters: Object.fromEntries(stages.map((s) => [s.section, shapesOf(s.parameters)])),
  notes,
  lint: stages.flatMap((s) => s.lint.map(({ tag: _, ...finding }) => ({ stage: s.name, ...finding }))),
  cost: Object.fromEntries(
    stages.map((s) => [
      s.section,
      {
        stage: s.name,
        ...(s.adapter === undefined ? {} : { adapter: s.adapter }),
        ...(s.texts === undefined ? {} : { texts: s.texts }),
        batch: s.training.batchSize,
        accumulate: s.training.accumulate,
        effectiveBatch: effectiveBatch(s.training),
        forwardFlops: s.forward.flops,
        stepFlops: s.step.flops,
        peakBytes: s.step.peakBytes,
        trafficBytes: s.step.traffic,
        ...(s.half === undefined ? {} : { half: s.half }),
        ...(s.unbudgeted === undefined
          ? {}
          : {
              memoryBudgetBytes: (s.training.memoryBudget ?? 0) * 2 ** 20,
              withoutBudget: { peakBytes: s.unbudgeted.peakBytes, stepFlops: s.unbudgeted.flops },
            }),
      },
    ]),
  ),
})

export const thousands = (n: number): string => n.toLocaleString('en-US')
export const flops = (n: number): string =>
  n >= 1e12
    ? `${(n / 1e12).toFixed(2)} TFLOP`
    : n >= 1e9
      ? `${(n / 1e9).toFixed(2)} GFLOP`
      : `${(n / 1e6).toFixed(1)} MFLOP`
export const mebibytes = (n: number): string => `${thousands(Math.ceil(n / 2 ** 20))} MiB`

const table = (blocks: readonly Block[]): string => {
  const rows = blocks.map((b) => [b.name, thousands(b.parameters), b.shapes.map((s) => s.join('x')).join(' ')] as const)
  const width = Math.max(5, ...rows.map(([name]) => name.length))
  const line = ([name, n, shapes]: readonly [string, string, string]): string =>
    `  ${name.padEnd(width)}  ${n.padStart(12)}  ${shapes}`.trimEnd()
  return [line(['block', 'parameters', 'weights']), ...rows.map(line)].join('\n')
}

const total = (parameters: StageReport['parameters']): { readonly trainable: number; readonly buffers: number } => {
  const sum = (some: StageReport['parameters']): number => blocksOf(some).reduce((n, b) => n + b.parameters, 0)
  return { trainable: sum(parameters.filter((p) => p.trainable)), buffers: sum(parameters.filter((p) => !p.trainable)) }
}

/** How many parameters there are, and the table of their blocks. */
export const parametersText = (title: string, parameters: StageReport['parameters']): readonly string[] => {
  const { trainable, buffers } = total(parameters)
  return [
    `${title}: ${thousands(trainable)} trainable parameters${buffers === 0 ? '' : `, ${thousands(buffers)} in buffers`}`,
    '',
    table(blocksOf(parameters)),
    '',
  ]
}

const batchLines = ({ training }: StageReport): readonly string[] =>
  training.accumulate === 1
    ? []
    : [
        `  a step       ${training.accumulate} batches of ${training.batchSize}, one after another: ${thousands(effectiveBatch(training))} pictures`,
      ]

const validationLines = ({ training: { validate } }: StageReport): readonly string[] => {
  if (validate === undefined) return []
  const { every, pictures, monitor } = validate
  const best = monitor === undefined ? '' : `; the state best by ${monitor.metric} is kept`
  const ends = monitor?.patience === undefined ? '' : `, and ${monitor.patience} without a better one end the stage`
  return [`  held out     every ${thousands(every)} steps, ${thousands(pictures)} pictures at most${best}${ends}`]
}

/** What snapshots of averages take on the disk, once all are there. */
const snapshotLines = ({ parameters, training: { postHocEma, steps } }: StageReport): readonly string[] => {
  if (postHocEma === undefined) return []
  const snapshots = Math.ceil(steps / postHocEma.every)
  const bytes = 4 * total(parameters).trainable * postHocEma.sigmaRel.length * snapshots
  return [`  averages     ${snapshots} snapshots of ${postHocEma.sigmaRel.length}, ${mebibytes(bytes)} on the disk`]
}

const budgetLines = ({ step, training, unbudgeted }: StageReport): readonly string[] => {
  if (unbudgeted === undefined) return []
  if (unbudgeted.peakBytes <= (training.memoryBudget ?? 0) * 2 ** 20)
    return [
      `  budget       ${training.memoryBudget} MiB, which a step does not need: nothing is computed a second time`,
    ]
  const more = (100 * (step.flops / unbudgeted.flops - 1)).toFixed(1)
  return [
    `  budget       ${training.memoryBudget} MiB; without it ${mebibytes(unbudgeted.peakBytes)}: ${more} % more operations, and so about as much more time`,
  ]
}

const difference = (before: number, now: number): string =>
  `${mebibytes(Math.abs(before - now))} ${now <= before ? 'less' : 'more'} than in float32`
const halfLines = ({ half, step }: StageReport): readonly string[] =>
  half === undefined
    ? []
    : [
        `  precision    ${half.dtype}: ${half.products} of ${half.allProducts} products and convolutions, ${half.casts} casts; parameters,`,
        `               moments, norms, softmax and losses in float32; ${difference(half.peakBytes, step.peakBytes)}`,
      ]

/** What of an adapter's network has neither a gradient nor anything that goes with one. */
const adapterLines = ({ adapter, parameters, training: { optimizer } }: StageReport): readonly string[] => {
  if (adapter === undefined) return []
  const { trainable, buffers } = total(parameters)
  return [
    `  adapter      ${adapter.says}: ${thousands(trainable)} numbers are trained;`,
    `               ${thousands(buffers)} stay as they are, without gradient, without state of ${optimizer.kind}, in no checkpoint`,
  ]
}

/** What stands beside a network and is no part of its checkpoints. */
const textLines = ({ texts }: StageReport): readonly string[] => {
  if (texts === undefined) return []
  const each = texts.encoders.map(({ kind, positions }) => `${kind}, ${positions} tokens`).join('; ')
  return [
    `  texts        ${each}: ${thousands(texts.parameters)} numbers of ${texts.from} stay as they are,`,
    `               ${mebibytes(4 * texts.parameters)}, in no checkpoint; each caption is encoded once: ${flops(texts.flops)}, ${thousands(Math.ceil(texts.bytes / 1024))} KiB on the disk`,
  ]
}

const textOfStage = (s: StageReport): string =>
  [
    ...parametersText(`${s.name} (${s.section})`, s.parameters),
    ...adapterLines(s),
    ...textLines(s),
    ...batchLines(s),
    `  forward      ${flops(s.forward.flops)} a batch`,
    `  whole step   ${flops(s.step.flops)} a batch`,
    `  peak memory  ${mebibytes(s.step.peakBytes)} at most, were nothing reused in place`,
    ...halfLines(s),
    ...budgetLines(s),
    ...validationLines(s),
    ...snapshotLines(s),
    `  lint         ${s.lint.length === 0 ? 'nothing found' : `${s.lint.length} found`}`,
    ...(s.lint.length === 0 ? [] : ['', ...s.lint.map(showError)]),
  ].join('\n')

/** For people. */
export const textReport = (stages: readonly StageReport[], notes: readonly string[]): string =>
  `${[...stages.map(textOfStage), notes.join('\n')].join('\n\n')}\n`
