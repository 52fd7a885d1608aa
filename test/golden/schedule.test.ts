import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Checked, showErrors } from '../../src/error.ts'
import { parseSafetensors, type TensorFile } from '../../src/io/safetensors.ts'
import { E } from '../../src/prelude.ts'
import {
  type CompVisDdim,
  type CompVisRate,
  type CompVisSchedule,
  compVisDdimValues,
  compVisScheduleValues,
  learningRateFromCompVis,
} from '../../src/schedulers/compvis.ts'
import { learningRate } from '../../src/schedulers/learning-rate.ts'

const folder = join(import.meta.dirname, 'fixtures', 'schedule')

const right = <A>(checked: Checked<A>): A => {
  if (E.isLeft(checked)) throw new Error(showErrors(checked.left))
  return checked.right
}

interface DdimCase extends CompVisDdim {
  readonly index: number
  readonly ok: boolean
}

const outputs = (file: TensorFile): ReadonlyMap<string, readonly number[]> =>
  new Map(
    Object.entries(file.tensors)
      .filter(([name]) => name.startsWith('out.'))
      .map(([name, { data }]) => [name.slice('out.'.length), Array.from(data, Number)]),
  )

const tolerance = (name: string): number =>
  name.startsWith('f64.') || name.endsWith('sigmas') ? 1e-11 : name.startsWith('lvlb_weights') ? 1e-6 : 2e-7

/** Relative, element by element, with room for one step between float32's denormal numbers. */
const agree = (name: string, ours: readonly number[], theirs: readonly number[]): void => {
  expect(ours.length, name).toBe(theirs.length)
  ours.forEach((a, i) => {
    const b = theirs[i] ?? Number.NaN
    const apart = Object.is(a, b) ? 0 : Math.abs(a - b) - 1.5e-45
    expect(apart, `${name}[${i}]: ${a} for ${b}`).toBeLessThanOrEqual(tolerance(name) * Math.abs(b))
  })
}

describe.each(readdirSync(folder).filter((name) => name.endsWith('.safetensors')))('%s', (name) => {
  const file = right(parseSafetensors(readFileSync(join(folder, name)), name))
  const expected = outputs(file)
  const config: CompVisSchedule & { readonly cases?: readonly DdimCase[] } = JSON.parse(file.metadata.config ?? '')

  if (config.cases === undefined) {
    test('every buffer', () => {
      const values = right(compVisScheduleValues(config))
      expect(Object.keys(values).toSorted()).toEqual([...expected.keys()].toSorted())
      for (const [key, column] of Object.entries(values)) agree(key, column, expected.get(key) ?? [])
    })
  }

  test.each(config.cases ?? [])('$S of $T timesteps, $method, eta $eta', (ddim) => {
    const { timesteps, parameters } = right(compVisDdimValues(config, ddim))
    const of = (key: string): readonly number[] => expected.get(`${ddim.index}.${key}`) ?? []
    expect(timesteps).toEqual(of('timesteps'))
    expect(E.isRight(parameters)).toBe(ddim.ok)
    if (E.isLeft(parameters)) return
    agree('alphas', parameters.right.alphas, of('alphas'))
    agree('alphas_prev', parameters.right.alphasPrev, of('alphas_prev'))
    agree('sigmas', parameters.right.sigmas, of('sigmas'))
  })
})

describe('lr_schedulers.json', () => {
  const { cases }: { cases: { cls: string; args: CompVisRate; n: number[]; value: number[] }[] } = JSON.parse(
    readFileSync(join(folder, 'lr_schedulers.json'), 'utf8'),
  )

  test.each(cases)('$cls $args', ({ cls, args, n, value }) => {
    const schedule = right(learningRateFromCompVis(cls, args, 1))
    n.forEach((step, i) => {
      expect(learningRate(schedule, step)).toBeCloseTo(value[i] ?? Number.NaN, 14)
    })
  })
})
