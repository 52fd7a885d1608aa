import type { TensorType } from '../../graph/types.ts'
import { type Half, isHalf } from '../../graph/types.ts'
import type { Types } from '../feeds.ts'
import type { Kernel } from './kernel.ts'
import { reached } from './program.ts'
import { rewrite } from './quirks.ts'
import { dtypeOf, type Leaf, type Roots, type Value } from './value.ts'

const moves: ReadonlySet<Kernel> = new Set<Kernel>(['Reshape', 'Transpose', 'Slice', 'Tile'])
/** The leaf of which a value is the numbers, moved. */
const movedLeaf = (v: Value): Leaf | undefined => {
  const [x] = v.kind === 'call' && moves.has(v.kernel) ? v.inputs : []
  return v.kind === 'leaf' ? v : x === undefined ? undefined : movedLeaf(x)
}
const inHalf = (v: Value, dtype: Half): Value => {
  const type: TensorType = { ...v.type, dtype }
  return v.kind === 'call' ? { ...v, type, inputs: v.inputs.map((x) => inHalf(x, dtype)) } : { ...v, type }
}
/** What a cast of float32 makes half precision. */
const narrowing = (v: Value): { readonly from: Value; readonly to: Half } | undefined => {
  const [from] = v.kind === 'call' && v.kernel === 'Cast' ? v.inputs : []
  const to = dtypeOf(v)
  return from !== undefined && dtypeOf(from) === 'float32' && isHalf(to) ? { from, to } : undefined
}

/** Of leaves, those that nothing reads but casts to one half precision, and which. */
const narrowable = (roots: Roots): ReadonlyMap<string, Half> => {
  const wanted = new Map<string, Half | undefined>()
  const read = (v: Value, as: Half | undefined): void => {
    const leaf = movedLeaf(v)
    if (leaf === undefined) return
    wanted.set(leaf.name, wanted.has(leaf.name) && wanted.get(leaf.name) !== as ? undefined : as)
  }
  for (const v of reached(Object.values(roots))) {
    const half = narrowing(v)
    if (half !== undefined) read(half.from, half.to)
    else if (v.kind === 'call' && !moves.has(v.kernel)) for (const x of v.inputs) read(x, undefined)
  }
  for (const v of Object.values(roots)) read(v, undefined)
  return new Map([...wanted].flatMap(([name, as]) => (as === undefined ? [] : [[name, as] as const])))
}

/**
 * Leaves that stay on the device lie there in half precision where nothing wants more of them: they are cast once, and not at every run.
 * What remains to be computed, and how the leaves are kept.
 */
export const narrowed = (roots: Roots, kept: Types): { readonly roots: Roots; readonly types: Types } => {
  const found = narrowable(roots)
  const asHalf = (name: string): Half | undefined => (name in kept ? found.get(name) : undefined)
  const types = Object.fromEntries(
    Object.entries(kept).map(([name, type]): [string, TensorType] => [
      name,
      { ...type, dtype: asHalf(name) ?? type.dtype },
    ]),
  )
  if (Object.keys(kept).every((name) => asHalf(name) === undefined)) return { roots, types }
  return {
    types,
    roots: rewrite((of) => {
      const half = narrowing(of)
      const leaf = half && movedLeaf(half.from)
      return half !== undefined && leaf !== undefined && asHalf(leaf.name) === half.to ? inHalf(half.from, half.to) : of
    })(roots),
  }
}
