import { freeze, type Tensor } from '../declare/index.ts'
import { type Checked, collect, type Effect, type Errors, fail, failure, reasonOf } from '../error.ts'
import { type Executable, type Executor, floats, type Value, type Values } from '../execute/executor.ts'
import { type Graph, inputs, parameters } from '../graph/graph.ts'
import { sameShape, showShape } from '../graph/types.ts'
import { E, pipe, T, TE } from '../prelude.ts'
import { noiseFeeds } from '../train/state.ts'
import { optimise } from '../transform/index.ts'
import { type Case, type CaseFile, toValue } from './case.ts'
import { type Comparison, type Computed, compare, passes } from './compare.ts'
import { type FormulaParameters, formulaOf, freshValue, parameterChecks, parameterOf, summed } from './formula.ts'
import type { Area, Plan, Prepared } from './plan.ts'

/** What came of one case. */
export interface CaseReport {
  readonly area: string
  readonly file: string
  readonly status: 'passed' | 'failed' | 'skipped'
  /** The comparison nearest to its limit, or furthest beyond it. */
  readonly worst?: Comparison
  readonly failures: readonly Comparison[]
  /** Why it was skipped, or could not be run. */
  readonly reason?: string
  /** What of the file was left out of the comparison, and why. */
  readonly note?: string
}

/** The graph's parameters must be those that the reference lists or ships, no more, no fewer, of the same shapes. */
const sameParameters = (g: Graph, c: Case, { shapes }: FormulaParameters): Checked<unknown> => {
  const ours = new Map(parameters(g).map(({ name, shape }) => [name, shape]))
  const trained = parameters(g).flatMap(({ name, trainable }) => (trainable ? [name] : []))
  const theirs = new Set([...shapes.map(([key]) => key), ...Object.keys(c.params)])
  return collect([
    ...shapes.map(([key, shape]): Checked<unknown> => {
      const own = ours.get(key)
      return own !== undefined && sameShape(own, shape)
        ? E.right(key)
        : fail('data', key, `a parameter of shape ${showShape(shape)}`, own === undefined ? 'none' : showShape(own))
    }),
    ...trained.flatMap((key) =>
      theirs.has(key) ? [] : [fail('data', key, 'no such parameter in the reference', 'one in the graph')],
    ),
  ])
}

const feedsOf = (g: Graph, c: Case, formula: FormulaParameters | undefined): Checked<Values> => {
  const parameter = parameterOf(c, formula)
  return pipe(
    collect([
      ...inputs(g).map(({ name }): Checked<readonly [string, Value]> => {
        const array = c.inputs[name.replace(/^in\./, '')]
        return array === undefined
          ? fail('data', name, 'an input of the case', 'none')
          : E.right([name, toValue(array)])
      }),
      ...parameters(g).map((p) =>
        pipe(
          parameter(p.name, p.shape, freshValue(p)),
          E.map((value) => [p.name, value] as const),
        ),
      ),
    ]),
    // Chance that no case could ship: what depends on it cannot agree, what does not still can.
    E.map((entries): Values => ({ ...noiseFeeds(g, 0, 0), ...Object.fromEntries(entries) })),
  )
}

/** Runs once and lets go of what was compiled. */
export const runOnce =
  (feeds: Values) =>
  (executable: Executable): Effect<Values> =>
    pipe(
      executable.run(feeds),
      T.map((result) => {
        executable.dispose()
        return result
      }),
    )

const sampleCount = 64
/** 64 values of a gradient at even distances. */
const sampled = ({ data }: Value): Value =>
  floats(
    [sampleCount],
    Float64Array.from(
      { length: sampleCount },
      (_, j) => data[Math.floor((j * data.length) / sampleCount)] ?? Number.NaN,
    ),
  )

/** Adds the samples and sums of large gradients that a case expects in place of the whole. */
const condensed = (expected: readonly string[], values: Values): Computed => {
  const wanted = expected.flatMap((name) => {
    const [, form, key] = /^grad(sample|sum)\.param\.(.+)$/.exec(name) ?? []
    const whole = key === undefined ? undefined : values[`grad.param.${key}`]
    return key === undefined || whole === undefined ? [] : [{ name, form, key, whole }]
  })
  return {
    values: {
      ...values,
      ...Object.fromEntries(
        wanted.map(({ name, form, key, whole }) => [
          name,
          form === 'sample' ? sampled(whole) : floats([3], Float64Array.from(summed(key, whole))),
        ]),
      ),
    },
    counts: Object.fromEntries(
      wanted.flatMap(({ name, form, whole }) => (form === 'sum' ? [[name, whole.data.length]] : [])),
    ),
  }
}

const runGraph = (
  executor: Executor,
  outputs: Readonly<Record<string, Tensor>>,
  c: Case,
  formula: FormulaParameters | undefined,
): Effect<Values> =>
  pipe(
    freeze(outputs, { sharing: 'by name' }),
    E.tap((g) => (formula === undefined ? E.right(g) : sameParameters(g, c, formula))),
    E.map(optimise),
    E.bindTo('graph'),
    E.bind('feeds', ({ graph }) => feedsOf(graph, c, formula)),
    TE.fromEither,
    TE.flatMap(({ graph, feeds }) => pipe(executor.compile(graph, { mode: 'training' }), TE.flatMap(runOnce(feeds)))),
  )

const noCase = fail('data', '', 'a case to feed the graph from', 'none')

const compute = (executor: Executor, plan: Exclude<Plan, { kind: 'skip' }>, c: Case | undefined): Effect<Values> => {
  const formula = c === undefined ? undefined : formulaOf(c)
  const checks = formula === undefined ? {} : parameterChecks(formula)
  const values =
    plan.kind === 'effect'
      ? plan.run(executor)
      : c === undefined
        ? TE.fromEither<Errors, Values>(noCase)
        : pipe(
            runGraph(executor, plan.outputs, c, formula),
            TE.map((outputs): Values => ({ ...outputs, ...plan.known })),
          )
  return pipe(
    values,
    TE.map((computed) => ({ ...computed, ...checks })),
  )
}

/** Nearest to its limit; of two exact ones, the further apart. */
const pressure = ({ error, limit }: Comparison): number => (error === 0 ? 0 : limit === 0 ? Infinity : error / limit)

const judged = (file: CaseFile, prepared: Prepared, values: Values): CaseReport => {
  const comparisons = compare(prepared, condensed(Object.keys(prepared.expected), values))
  const failures = comparisons.filter((x) => !passes(x))
  const [first, ...rest] = comparisons
  const worst = first && rest.reduce((a, b) => (pressure(b) > pressure(a) ? b : a), first)
  return {
    area: file.area,
    file: file.file,
    status: failures.length === 0 && worst !== undefined ? 'passed' : 'failed',
    ...(worst === undefined ? { reason: 'nothing to compare' } : { worst }),
    failures,
    ...(prepared.note === undefined ? {} : { note: prepared.note }),
  }
}

const shownErrors = 4

/** The errors, one a line; of many only the first. */
const reasonFor = (errors: Errors): string =>
  [
    ...errors.slice(0, shownErrors).map((e) => `${e.at}: expected ${e.expected}, got ${e.got}`),
    ...(errors.length > shownErrors ? [`and ${errors.length - shownErrors} more`] : []),
  ].join('\n')

const broken =
  (file: CaseFile) =>
  (errors: Errors): CaseReport => ({
    area: file.area,
    file: file.file,
    status: 'failed',
    failures: [],
    reason: reasonFor(errors),
  })

const runPrepared =
  (executor: Executor, file: CaseFile) =>
  (prepared: Prepared): T.Task<CaseReport> => {
    const { plan } = prepared
    return plan.kind === 'skip'
      ? T.of({ area: file.area, file: file.file, status: 'skipped', reason: plan.reason, failures: [] })
      : pipe(
          compute(executor, plan, prepared.given),
          TE.match(broken(file), (values) => judged(file, prepared, values)),
        )
  }

/** Runs one case. A bug that throws fails the case, and the others still run. */
export const runCase = (executor: Executor, area: Area, file: CaseFile): T.Task<CaseReport> =>
  pipe(
    TE.tryCatch(
      pipe(
        area(file),
        TE.matchE((errors) => T.of(broken(file)(errors)), runPrepared(executor, file)),
      ),
      (thrown): Errors => [
        failure('run', `${file.area}/${file.file}`, 'a result', `an exception: ${reasonOf(thrown)}`),
      ],
    ),
    TE.getOrElse((errors) => T.of(broken(file)(errors))),
  )
