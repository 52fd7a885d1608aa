import { isTensor, rewrite, type Tensor, type TensorOf, topological } from '../declare/index.ts'
import { failure, type LatentError } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import type { Meaning, OpKind } from '../graph/ops.ts'
import { isFloat } from '../graph/types.ts'
import { gradientRules } from './gradient-rules.ts'

/** What a training step means to do. */
export interface Intent {
  /** Loss terms: outputs of the graph. */
  readonly losses: readonly string[]
  /** Parameters of each optimiser, by optimiser name. */
  readonly optimizers: Readonly<Record<string, readonly string[]>>
}

/** The arguments through which a gradient flows. */
const differentiable = <K extends OpKind>(op: K, x: TensorOf<K>): readonly Tensor[] =>
  gradientRules[op]({ attributes: x.attributes, args: x.args, out: x, dy: x }).flatMap((c, i) =>
    c === null ? [] : (x.args[i] ?? []),
  )

const trainableNames = (reached: Iterable<Tensor>): ReadonlySet<string> =>
  new Set([...reached].flatMap((x) => (isTensor('parameter')(x) && x.attributes.trainable ? [x.attributes.name] : [])))

const reachedFrom = (loss: Tensor): ReadonlySet<Tensor> => {
  const reached = new Set<Tensor>([loss])
  for (const x of topological([loss]).toReversed())
    if (reached.has(x)) for (const a of differentiable(x.op, x)) if (isFloat(a.type.dtype)) reached.add(a)
  return reached
}

/** Ops that hand their operand's values on as they are. */
const carriers: readonly OpKind[] = [
  'reshape',
  'transpose',
  'slice',
  'concat',
  'broadcast',
  'stopGradient',
  'upsampleNearest',
  'gather',
]

const meaningFaults = (order: readonly Tensor[]): readonly LatentError[] => {
  const meanings = new Map<Tensor, Meaning>()
  return order.flatMap((x) => {
    const [source] = x.args
    const incoming = source === undefined ? undefined : meanings.get(source)
    const own = isTensor('input')(x)
      ? (x.attributes.meaning ?? undefined)
      : isTensor('mark')(x)
        ? (x.attributes.claims ?? x.attributes.expects ?? incoming)
        : carriers.includes(x.op)
          ? incoming
          : undefined
    if (own !== undefined) meanings.set(x, own)
    const wanted = isTensor('mark')(x) ? x.attributes.expects : null
    return wanted === null || incoming === undefined || incoming === wanted
      ? []
      : [
          failure(
            'lint',
            x.scope === '' ? '(root)' : x.scope,
            wanted,
            incoming,
            'convert the values, or correct the claim',
          ),
        ]
  })
}

/**
 * What a graph can know about itself before it runs (DESIGN section 6): losses without a gradient path, trainable
 * parameters that no loss reaches, parameters in no optimiser or in two, meanings that do not fit.
 * Lint the graph as declared, before `fold` drops what it reads.
 */
export const lint = (g: Graph, { losses, optimizers }: Intent): readonly LatentError[] => {
  const built: Tensor[] = []
  const outputs = rewrite(g, (_, __, again) => {
    const x = again()
    built.push(x)
    return x
  })
  const reach = losses.map((name) => {
    const loss = outputs[name]
    return [name, loss === undefined ? new Set<string>() : trainableNames(reachedFrom(loss))] as const
  })
  const all = [...trainableNames(built)]
  const owners = (name: string): readonly string[] =>
    Object.entries(optimizers).flatMap(([optimizer, names]) => (names.includes(name) ? [optimizer] : []))
  const optimized = Object.fromEntries(Object.entries(optimizers).map(([o, names]) => [o, new Set(names)]))
  return [
    ...reach.flatMap(([name, reached]) =>
      reached.size > 0
        ? []
        : [
            failure(
              'lint',
              name,
              'a gradient path from this loss to a trainable parameter',
              'none',
              'is it cut by stopGradient?',
            ),
          ],
    ),
    ...all.flatMap((name) =>
      reach.some(([, reached]) => reached.has(name))
        ? []
        : [
            failure(
              'lint',
              name,
              'a loss that reaches this trainable parameter',
              'none',
              'declare it as a buffer, or use it',
            ),
          ],
    ),
    ...all.flatMap((name) => {
      const found = Object.values(optimized).some((s) => s.has(name)) ? owners(name) : []
      return found.length === 1
        ? []
        : [failure('lint', name, 'exactly one optimiser', found.length === 0 ? 'none' : found.join(' and '))]
    }),
    ...meaningFaults(built),
  ]
}
