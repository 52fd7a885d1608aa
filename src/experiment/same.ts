import type { Experiment, Training } from './document.ts'

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> => typeof u === 'object' && u !== null

/** Where two documents differ, as a JSON pointer with both values. */
export interface Difference {
  readonly at: string
  readonly was: unknown
  readonly is: unknown
}
export const differ = (at: string, was: unknown, is: unknown): readonly Difference[] => {
  if (!isObject(was) || !isObject(is)) return Object.is(was, is) ? [] : [{ at, was, is }]
  const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])]
  return keys.flatMap((k) => differ(`${at}/${k}`, was[k], is[k]))
}

/** What a change between a run and its resumption means. */
export type Change =
  /** It does not touch what is learnt. */
  | 'free'
  /** It steers what is still to be learnt: a run may go on with it, and says so. */
  | 'steers'
  /** It makes another run. */
  | 'another'

/** Which fields may change; where pictures lie is free, since what they are is compared by itself. */
const changes: readonly (readonly [RegExp, Change])[] = [
  [/^\/(\$schema|name|executor|sampling|data\/path)(\/|$)/, 'free'],
  [/^\/firstStage\/(adversarial\/condition\/path|loss\/perceptual\/files|clip)(\/|$)/, 'free'],
  [/^\/diffusion\/(conditioning\/((beside\/)?path|(told\/)?(from|tokenizer))|adapter\/hints)$/, 'free'],
  [/^\/(firstStage|diffusion)\/training\/(logEvery|previewEvery|checkpointEvery|memoryBudget)$/, 'free'],
  [/^\/(firstStage|diffusion)\/training\/(steps|clipNorm|learningRate|validate)(\/|$)/, 'steers'],
  [/^\/firstStage\/adversarial\/learningRate(\/|$)/, 'steers'],
]
const changeAt = (at: string): Change => changes.find(([field]) => field.test(at))?.[1] ?? 'another'

/** How the experiment of a run differs from the one it is to go on as. */
export const differences = (was: Experiment, is: Experiment): Readonly<Record<Change, readonly Difference[]>> => {
  const all = differ('', was, is)
  const of = (change: Change): readonly Difference[] => all.filter(({ at }) => changeAt(at) === change)
  return { free: of('free'), steers: of('steers'), another: of('another') }
}

/** The experiment without what steers its step graphs, or says how they are computed, for telling whether two graphs learn the same. */
export const unsteered = (e: Experiment): Experiment => {
  const bare = <S extends { readonly training: Training }>(stage: S): S => {
    const { clipNorm: _, memoryBudget: __, ...training } = stage.training
    return { ...stage, training }
  }
  return {
    ...e,
    firstStage: e.firstStage.kind === 'identity' ? e.firstStage : bare(e.firstStage),
    ...(e.diffusion === undefined ? {} : { diffusion: bare(e.diffusion) }),
  }
}
