import type { Experiment } from './document.ts'

/** Fields that may change between a run and its resumption: they do not touch what is learnt. */
const free: readonly string[] = [
  '$schema',
  'name',
  'executor',
  'sampling',
  'logEvery',
  'previewEvery',
  'checkpointEvery',
]

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> => typeof u === 'object' && u !== null

/** Where two documents first differ, as a JSON pointer with both values. */
export interface Difference {
  readonly at: string
  readonly was: unknown
  readonly is: unknown
}
const differ = (at: string, was: unknown, is: unknown): readonly Difference[] => {
  if (!isObject(was) || !isObject(is)) return Object.is(was, is) ? [] : [{ at, was, is }]
  const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])]
  return keys.flatMap((k) => (free.includes(k) ? [] : differ(`${at}/${k}`, was[k], is[k])))
}

/** What keeps a run of one experiment from going on as another. */
export const differences = (was: Experiment, is: Experiment): readonly Difference[] => differ('', was, is)
