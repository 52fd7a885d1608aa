import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { freeze, input, type Tensor } from '../../src/declare/index.ts'
import { type Checked, type Effect, showErrors } from '../../src/error.ts'
import type { Value, Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { size, type TensorType } from '../../src/graph/types.ts'
import { parseSafetensors } from '../../src/io/safetensors.ts'
import type { StoredArray } from '../../src/io/stored.ts'
import { E } from '../../src/prelude.ts'

const root = join(import.meta.dirname, '..', 'golden', 'fixtures')

export const right = <A>(checked: Checked<A>): A => {
  if (E.isLeft(checked)) throw new Error(showErrors(checked.left))
  return checked.right
}
export const done = async <A>(effect: Effect<A>): Promise<A> => right(await effect())

const toValue = (array: StoredArray): Value =>
  array.dtype === 'float32' || array.dtype === 'float64'
    ? { dtype: 'float32', shape: array.shape, data: Float64Array.from(array.data) }
    : { dtype: 'int32', shape: array.shape, data: Int32Array.from(array.data, Number) }

export interface Fixture<C> {
  readonly name: string
  readonly config: C
  readonly arrays: Values
  readonly value: (name: string) => Value
  /** A leaf of the array's type and name. */
  readonly leaf: (name: string) => Tensor
}

export const fixtures = <C>(area: string, matching: RegExp): readonly Fixture<C>[] => {
  const names = readdirSync(join(root, area)).filter((name) => matching.test(name))
  if (names.length === 0) throw new Error(`no fixture of ${area} matches ${matching}`)
  return names.map((file) => {
    const { tensors, metadata } = right(parseSafetensors(readFileSync(join(root, area, file)), file))
    const arrays = Object.fromEntries(Object.entries(tensors).map(([name, array]) => [name, toValue(array)]))
    const value = (name: string): Value => arrays[name] ?? absent(file, name)
    return {
      name: file.replace('.safetensors', ''),
      config: JSON.parse(metadata.config ?? ''),
      arrays,
      value,
      leaf: (name) => input(name, { dtype: value(name).dtype, shape: value(name).shape }),
    }
  })
}
const absent = (file: string, name: string): never => {
  throw new Error(`${file} has no ${name}`)
}

/** Runs expressions on those of the given values that they use. */
export const evaluate = async (outputs: Readonly<Record<string, Tensor>>, values: Values): Promise<Values> => {
  const graph = right(freeze(outputs))
  const executable = await done(reference.compile(graph, { mode: 'training' }))
  const types: Readonly<Record<string, TensorType>> = feedTypes(graph)
  return done(executable.run(Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(types, name)))))
}

/** max|a - b| / max|b| within the limit, over as many elements. */
export const near = (what: string, got: Value | undefined, wanted: Value, limit: number): void => {
  if (got === undefined) throw new Error(`${what} was not computed`)
  expect(got.data.length, what).toBe(size(wanted.shape))
  const [ours, theirs] = [Array.from(got.data), Array.from(wanted.data)]
  const largest = theirs.reduce((m, x) => Math.max(m, Math.abs(x)), 0)
  const apart = theirs.reduce((m, x, i) => Math.max(m, Math.abs(x - (ours[i] ?? Number.NaN))), 0)
  expect(largest === 0 ? apart : apart / largest, what).toBeLessThanOrEqual(limit)
}
/** Every output of the fixture that is named, or all of them. */
export const agree = (fixture: Fixture<unknown>, got: Values, limit: number): void => {
  for (const [name, value] of Object.entries(got)) near(`${fixture.name} ${name}`, value, fixture.value(name), limit)
}
