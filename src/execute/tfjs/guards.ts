import { feedName, type Graph, nodeAt } from '../../graph/graph.ts'
import { sameShape, size } from '../../graph/types.ts'
import { withOutputs } from '../../transform/index.ts'

/** An output that is a leaf, unchanged, unless a condition holds: a step in float16 whose gradients are not finite changes nothing. */
export interface Guard {
  /** An output of one bool. */
  readonly condition: string
  readonly leaf: string
}
export type Guards = Readonly<Record<string, Guard>>

/**
 * A graph whose guarded outputs are what they become where their conditions hold, which are outputs beside them: so the arithmetic at its end is
 * found. Pure.
 */
export const unguarded = (g: Graph): { readonly graph: Graph; readonly guards: Guards } => {
  let prefix = 'condition.'
  while (Object.keys(g.outputs).some((name) => name.startsWith(prefix))) prefix += '.'
  const outputs: Record<string, number> = { ...g.outputs }
  const guards: Record<string, Guard> = {}
  for (const [name, i] of Object.entries(g.outputs)) {
    const { op, operands, type } = nodeAt(g, i)
    const [condition, changed, kept] = operands
    if (op !== 'select' || type.dtype !== 'float32' || condition === undefined || changed === undefined) continue
    const leaf = kept === undefined ? undefined : feedName(nodeAt(g, kept))
    if (leaf === undefined || size(nodeAt(g, condition).type.shape) !== 1) continue
    if (![changed, kept].every((of) => of !== undefined && sameShape(nodeAt(g, of).type.shape, type.shape))) continue
    guards[name] = { condition: `${prefix}${condition}`, leaf }
    outputs[name] = changed
    outputs[`${prefix}${condition}`] = condition
  }
  return { graph: withOutputs(outputs)(g), guards }
}
