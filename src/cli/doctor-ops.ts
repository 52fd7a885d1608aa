import { type Effect, effect, type LatentError } from '../error.ts'
import { emptyValue, type Values } from '../execute/executor.ts'
import { type Placement, residentIn } from '../execute/placement.ts'
import { placements } from '../execute/placements.ts'
import { loadExperiment } from '../experiment/load.ts'
import { bytes } from '../graph/cost.ts'
import { feedTypes, type Graph, outputTypes, parameters } from '../graph/graph.ts'
import { size, type TensorType } from '../graph/types.ts'
import { E, TE } from '../prelude.ts'
import { planExperiment, type StagePlan, stagesOf } from '../train/plan.ts'
import { classesOf } from './check.ts'

/** Weights that a training reads from files: where nodes run does not depend on them. */
const fromFiles = (g: Graph): Values =>
  Object.fromEntries(
    parameters(g).flatMap(({ name, shape, init }) =>
      init.kind === 'loaded' ? [[name, emptyValue('float32', shape, size(shape))]] : [],
    ),
  )

const bytesBut = (types: Readonly<Record<string, TensorType>>, without: readonly string[]): number =>
  Object.entries(types).reduce((sum, [name, type]) => (without.includes(name) ? sum : sum + bytes(type)), 0)

const count = (n: number): string => n.toLocaleString('en')
const showPlacement = ({ nodes, leaving, untold }: Placement): string => {
  if (untold !== undefined) return `${count(nodes)} nodes: ${untold}\n`
  const gone = leaving.reduce((sum, l) => sum + l.nodes, 0)
  const rows = leaving.map(
    ({ op, nodes: n, toHost, toDevice }) =>
      `    ${op.padEnd(18)}${`${n} node${n === 1 ? '' : 's'}`.padEnd(12)}${count(toHost)} bytes to the host, ${count(toDevice)} to the device\n`,
  )
  return gone === 0
    ? `nothing of ${count(nodes)} nodes leaves the device\n`
    : `${count(gone)} of ${count(nodes)} nodes leave the device, a step:\n${rows.join('')}`
}

const inShort = ({ got, hint }: LatentError): string => `${got}${hint === undefined ? '' : ` (${hint})`}`

const aboutStage = ({ name, step }: StagePlan): Effect<string> =>
  effect(async () => {
    const resident = residentIn(step.carry)
    const constants = fromFiles(step.graph)
    const fed = bytesBut(feedTypes(step.graph), [...resident.leaves, ...Object.keys(constants)])
    const returned = bytesBut(outputTypes(step.graph), resident.outputs)
    const rows: string[] = []
    for (const [executor, placing] of Object.entries(placements)) {
      const placed = await placing(step.graph, resident, constants)()
      const what = E.isLeft(placed)
        ? `not usable: ${placed.left.map(inShort).join('; ')}\n`
        : showPlacement(placed.right)
      rows.push(`  ${executor.padEnd(16)}${what}`)
    }
    const state = `${resident.leaves.length} arrays of state stay on the device`
    return `${name}: a step is fed ${count(fed)} bytes and gives back ${count(returned)}; ${state}\n${rows.join('')}`
  })

/** Of an experiment's training steps, per executor and device, what would not run on the device. */
export const aboutOps = (file: string): Effect<string> =>
  effect(async (run) => {
    const experiment = await run(loadExperiment(file))
    const plan = await run(TE.fromEither(planExperiment(experiment, await run(classesOf(experiment)))))
    const parts: string[] = []
    for (const stage of stagesOf(plan)) parts.push(await run(aboutStage(stage)))
    return parts.join('\n')
  })
