import type { Effect } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import { type IO, pipe, TE } from '../prelude.ts'
import { areas } from './areas/index.ts'
import type { CaseFile } from './case.ts'
import { findCases } from './cases.ts'
import { type Area, later } from './plan.ts'
import { type Report, summarise } from './report.ts'
import { type CaseReport, runCase } from './run.ts'

export { type Report, showCase, showSummary } from './report.ts'
export type { CaseReport } from './run.ts'

/** What to check, and on what. */
export interface Conformance {
  /** A folder with one folder an area. */
  readonly fixtures: string
  /** One area; all where left out. */
  readonly area?: string | undefined
  readonly executor: Executor
  /** Told of each case as it is done. */
  readonly onCase?: (report: CaseReport) => IO<void>
}

const areaOf = ({ area }: CaseFile): Area =>
  (Object.hasOwn(areas, area) ? areas[area] : undefined) ?? later(`no such area is known: ${area}`)

/**
 * Rebuilds every case of a fixture folder from what the case says of itself, runs it, and compares with what the
 * reference implementation computed. A case that fails is part of the report; errors are for folders that cannot be
 * read.
 */
export const runConformance = ({ fixtures, area, executor, onCase = () => () => {} }: Conformance): Effect<Report> =>
  pipe(
    findCases(fixtures, area),
    TE.flatMap(
      TE.traverseSeqArray((file) =>
        pipe(
          TE.fromTask(runCase(executor, areaOf(file), file)),
          TE.tapIO((report) => onCase(report)),
        ),
      ),
    ),
    TE.map((cases) => summarise(executor.name, cases)),
  )
