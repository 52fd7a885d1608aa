import { sameType } from '../graph/types.ts'
import { type Calls, here } from './place.ts'
import type { TensorOf } from './tensor.ts'

type Leaf = TensorOf<'parameter'>

/** One application of a layer: the leaves of its earlier ones, and those that this one has come to. */
interface Application {
  /** Where the layer was made. */
  readonly layer: Calls
  readonly before: ReadonlyMap<string, Leaf>
  readonly now: Map<string, Leaf>
}

/**
 * The applications that go on, the outermost first: which layer a parameter is declared in is known from nothing else. Expressions are
 * built without waiting for anything, so that no other application can come between.
 */
const applications: Application[] = []

const isAlike = (a: Leaf, b: Leaf): boolean =>
  a.attributes.trainable === b.attributes.trainable && sameType(a.type, b.type)

/** The leaf of an earlier application of the innermost layer that has one; not one of another layer in the same application. */
const earlier = (leaf: Leaf): Leaf | undefined => {
  const { name } = leaf.attributes
  for (const { before, now } of applications.toReversed()) {
    if (now.has(name)) return undefined
    const found = before.get(name)
    if (found !== undefined) return isAlike(found, leaf) ? found : undefined
  }
  return undefined
}

/** A parameter as it is declared: that of its layer where the layer was applied before, else a new one that knows its place. */
export const declared = (leaf: Leaf): Leaf => {
  const known = earlier(leaf) ?? { ...leaf, place: { layer: applications.at(-1)?.layer, itself: here() } }
  for (const { now } of applications) now.set(leaf.attributes.name, known)
  return known
}

/**
 * A layer whose parameters are one and the same wherever it is applied. Those of `nn` are such layers; one of one's own that is
 * applied more than once is made one by this. Two layers that happen to have a parameter's name in common do not share it: `freeze` refuses
 * them.
 *
 * @example
 * const judge = shared((x: Tensor) => pipe(x, nn.linear('judge.0', { out: 8 }), relu, nn.linear('judge.1', { out: 1 })))
 * const loss = pipe(judge(real), sub(judge(fake)), mean())
 */
export const shared = <A extends readonly unknown[], B>(layer: (...args: A) => B): ((...args: A) => B) => {
  const known = new Map<string, Leaf>()
  const made = here()
  return (...args) => {
    const application: Application = { layer: made, before: known, now: new Map() }
    applications.push(application)
    try {
      return layer(...args)
    } finally {
      applications.pop()
      for (const [name, leaf] of application.now) if (!known.has(name)) known.set(name, leaf)
    }
  }
}
