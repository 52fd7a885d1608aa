import { faulty, input, leafName, scalar, type Tensor, topological } from '../declare/index.ts'
import { type Checked, fail } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import { E, RR } from '../prelude.ts'
import { vjp } from '../transform/index.ts'
import { type Case, toValue } from './case.ts'
import type { Plan } from './plan.ts'

/** An input of the case as a leaf `in.<name>`; undefined where it has none. */
export const optional = (c: Case, name: string): Tensor | undefined => {
  const array = c.inputs[name]
  if (array === undefined) return undefined
  const { dtype, shape } = toValue(array)
  return input(`in.${name}`, { dtype, shape })
}

/** An input that the case must have. */
export const given = (c: Case, name: string): Tensor =>
  optional(c, name) ?? faulty('', `an input "in.${name}"`, `${Object.keys(c.inputs).join(', ')}`)

type Outputs = Readonly<Record<string, Tensor>>

/** A gradient that a case asks for. */
interface Wanted {
  readonly name: string
  /** The name of the leaf that it is the gradient of. */
  readonly leaf: string
  /** The one output it is the gradient of; of all together where left out. */
  readonly of?: string
}

const leafNamed = (named: string): string => named.replace(/^param\./, '')

/** `grad.in.x` and `grad.param.K` (whole, sampled or summed), and `grad.<out>.in.x`. */
const wantedGradient = (name: string): readonly Wanted[] => {
  const [, joint] = /^grad(?:sample|sum)?\.((?:in|param)\..+)$/.exec(name) ?? []
  if (joint !== undefined) return [{ name: `grad.${joint}`, leaf: leafNamed(joint) }]
  const [, of, alone] = /^grad\.(.+?)\.((?:in|param)\..+)$/.exec(name) ?? []
  return of === undefined || alone === undefined ? [] : [{ name, leaf: leafNamed(alone), of }]
}

/** `in.cot.<out>`, or `in.cot` for the first of the outputs. */
const cotangentOf = (c: Case, out: string, i: number): Tensor | undefined =>
  optional(c, `cot.${out}`) ?? (i === 0 ? optional(c, 'cot') : undefined)

interface Driven {
  readonly out: string
  readonly pair: readonly [output: Tensor, cotangent: Tensor]
  /** Whether gradients that name no output are of this one too. */
  readonly joint: boolean
}

/** Where a case has no cotangents, gradients are of scalars: of the one that they name, or else of the first output. */
const drivenBy = (c: Case, outputs: Outputs): readonly Driven[] => {
  const told = Object.keys(c.inputs).some((name) => name === 'cot' || name.startsWith('cot.'))
  return Object.entries(outputs).flatMap(([out, y], i): readonly Driven[] => {
    const cotangent = told ? cotangentOf(c, out, i) : y.shape.length === 0 ? scalar(1) : undefined
    return cotangent === undefined ? [] : [{ out, pair: [y, cotangent], joint: told || i === 0 }]
  })
}

/** Gradients of one group of outputs: a single sweep for all leaves. */
const sweep = (driven: readonly Driven[], wanted: readonly Wanted[], leaves: ReadonlyMap<string, Tensor>): Outputs => {
  const sought = wanted.flatMap(({ name, leaf }) => {
    const x = leaves.get(leaf)
    return x === undefined ? [] : [[name, x] as const]
  })
  const gradients = vjp(
    driven.map(({ pair }) => pair),
    sought.map(([, x]) => x),
  )
  return Object.fromEntries(sought.flatMap(([name], i) => (gradients[i] === undefined ? [] : [[name, gradients[i]]])))
}

/** The outputs under their names in the file, with the gradients the case asks for. */
export const withGradients = (c: Case, outputs: Outputs): Outputs => {
  const driven = drivenBy(c, outputs)
  const leaves = new Map(
    topological(Object.values(outputs)).flatMap((x) => {
      const name = leafName(x)
      return name === undefined ? [] : [[name, x] as const]
    }),
  )
  const wanted = Object.keys(c.expected).flatMap(wantedGradient)
  const groups = [...new Set(wanted.map(({ of }) => of))]
  const gradients = groups.map((group) =>
    sweep(
      driven.filter(({ out, joint }) => (group === undefined ? joint : out === group)),
      wanted.filter(({ of }) => of === group),
      leaves,
    ),
  )
  return Object.assign(Object.fromEntries(Object.entries(outputs).map(([name, y]) => [`out.${name}`, y])), ...gradients)
}

/** The plan of a network or a function: outputs by their names behind `out.`, the one that `in.cot` is for first. */
export const graphPlan = (
  c: Case,
  outputs: Readonly<Record<string, Tensor | undefined>>,
  known: Values = {},
): Checked<Plan> => {
  const present = RR.filter((x: Tensor | undefined): x is Tensor => x !== undefined)(outputs)
  return Object.keys(present).length === 0
    ? fail('data', c.file.path, 'something to compute', 'nothing')
    : E.right({ kind: 'graph', outputs: withGradients(c, present), known })
}
