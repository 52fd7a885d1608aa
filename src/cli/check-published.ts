import { type Cost, cost } from '../graph/cost.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import type { ModelSection } from '../published/document.ts'
import { optimise, share } from '../transform/index.ts'
import { flops, mebibytes, parametersText, type StageReport, shapesOf } from './check-report.ts'

/** What can be said of a part of a published model, which has no training step. */
export interface SectionReport {
  readonly section: ModelSection['section']
  readonly parameters: StageReport['parameters']
  readonly forward: Cost
}

/** Sections that are not built, and what the published configuration has there. */
type NotBuilt = Readonly<Record<string, string>>

export const reportSection = ({ section, graph }: ModelSection): SectionReport => ({
  section,
  parameters: parameters(share(graph)),
  forward: cost(optimise(graph)),
})

/** For programs: as of an experiment's stages, with forward costs alone. */
export const jsonOfSections = (reports: readonly SectionReport[], notBuilt: NotBuilt): object => ({
  parameters: Object.fromEntries(reports.map((r) => [r.section, shapesOf(r.parameters)])),
  notBuilt,
  cost: Object.fromEntries(
    reports.map(({ section, forward }) => [
      section,
      { forwardFlops: forward.flops, peakBytes: forward.peakBytes, trafficBytes: forward.traffic },
    ]),
  ),
})

const textOf = ({ section, parameters: own, forward }: SectionReport): string =>
  [
    ...parametersText(section, own),
    `  forward      ${flops(forward.flops)} an item`,
    `  peak memory  ${mebibytes(forward.peakBytes)} at most, were nothing reused in place`,
  ].join('\n')

/** For people. */
export const textOfSections = (reports: readonly SectionReport[], notBuilt: NotBuilt): string => {
  const missing = Object.entries(notBuilt).map(([section, target]) => `${section}: not built, ${target}`)
  return `${[...reports.map(textOf), ...missing].join('\n\n')}\n`
}

/** Of a graph as it is. */
export const jsonOfGraph = (graph: Graph): object => {
  const { flops: forwardFlops, peakBytes, traffic: trafficBytes } = cost(graph)
  return {
    parameters: { graph: shapesOf(parameters(graph)) },
    cost: { graph: { forwardFlops, peakBytes, trafficBytes } },
  }
}
export const textOfGraph = (graph: Graph): string => {
  const { flops: each, peakBytes } = cost(graph)
  return `${[
    ...parametersText('graph', parameters(graph)),
    `  a run        ${flops(each)}`,
    `  peak memory  ${mebibytes(peakBytes)} at most, were nothing reused in place`,
  ].join('\n')}\n`
}
