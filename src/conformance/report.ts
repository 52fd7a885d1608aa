import type { Comparison } from './compare.ts'
import type { CaseReport } from './run.ts'

export interface Report {
  readonly executor: string
  readonly cases: readonly CaseReport[]
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const summarise = (executor: string, cases: readonly CaseReport[]): Report => {
  const count = (status: CaseReport['status']): number => cases.filter((c) => c.status === status).length
  return { executor, cases, passed: count('passed'), failed: count('failed'), skipped: count('skipped') }
}

const short = (x: number): string => (Number.isFinite(x) ? (x === 0 ? '0' : x.toExponential(1)) : 'unmet')
const measured = ({ tensor, error, limit }: Comparison): string => `${short(error)} of ${short(limit)}  ${tensor}`

/** One line a case: of its comparisons the one nearest to its limit, and what was left out. */
export const showCase = ({ area, file, status, worst, reason, note }: CaseReport): string => {
  const what = worst === undefined || status === 'skipped' ? (reason ?? '').split('\n')[0] : measured(worst)
  return `${status.padEnd(7)}  ${`${area}/${file}`.padEnd(52)}  ${what}${note === undefined ? '' : ` (${note})`}`
}

const shownFailures = 8

const showFailure = ({ area, file, failures, reason }: CaseReport): string => {
  const hidden = failures.length - shownFailures
  return [
    `${area}/${file}`,
    ...(reason === undefined ? [] : reason.split('\n').map((line) => `  ${line}`)),
    ...failures.slice(0, shownFailures).map((f) => `  ${measured(f)}\n    ${f.detail}`),
    ...(hidden > 0 ? [`  and ${hidden} more`] : []),
  ].join('\n')
}

/** The failures in full, then the count alone on the last line. */
export const showSummary = ({ cases, passed, failed, skipped }: Report): string => {
  const failures = cases.filter(({ status }) => status === 'failed').map(showFailure)
  return [
    ...(failures.length === 0 ? [] : ['', 'Failures', ...failures, '']),
    `${passed} passed, ${failed} failed, ${skipped} skipped`,
  ].join('\n')
}
