import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Effect, effect, failure, reasonOf } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { size } from '../../graph/types.ts'
import { E, pipe, TE } from '../../prelude.ts'
import type { Values } from '../executor.ts'
import type { Leaving, Placement, Resident } from '../placement.ts'
import { inputName, outputName } from './assemble.ts'
import { lower } from './compile.ts'
import { runtime } from './native.ts'
import { encode, type Model, type ModelNode, type WrittenNode, writtenNodes } from './proto.ts'
import type { Runtime } from './runtime.ts'
import { createSession } from './session.ts'
import type { ElementType } from './value.ts'

/** Between the host's view of an array and the device's: ops that the WebGPU provider is known to take. */
const sum = (from: string, to: string): ModelNode => ({
  op: 'Add',
  domain: '',
  attributes: {},
  inputs: [from, from],
  outputs: [to],
})
const gates: { readonly [E in ElementType]: (from: string, to: string) => ModelNode } = {
  float32: sum,
  float64: sum,
  float16: sum,
  bfloat16: sum,
  int32: sum,
  int64: sum,
  uint8: sum,
  bool: (from, to) => ({ op: 'Not', domain: '', attributes: {}, inputs: [from], outputs: [to] }),
}
const inside = (name: string): string => `device.${name}`

/** The model, its resident arrays told to be on the device: whatever reads or makes them elsewhere then shows. */
const gated = (model: Model, { leaves, outputs }: Resident): Model => {
  const gate = (xs: Model['outputs'], names: readonly string[]) => {
    const chosen = new Set(names)
    return new Map(xs.flatMap(({ name, type }) => (type && chosen.has(name) ? [[name, gates[type.dtype]]] : [])))
  }
  const before = gate(model.inputs, leaves.map(inputName))
  const after = gate(model.outputs, outputs.map(outputName))
  const from = (name: string): string => (before.has(name) || after.has(name) ? inside(name) : name)
  const to = (name: string): string => (after.has(name) ? inside(name) : name)
  return {
    ...model,
    nodes: [
      ...[...before].map(([name, make]) => make(name, inside(name))),
      ...model.nodes.map((n) => ({ ...n, inputs: n.inputs.map(from), outputs: n.outputs.map(to) })),
      ...[...after].map(([name, make]) => make(inside(name), name)),
    ],
  }
}

/** What the runtime makes of a model when it has the device to run it on. */
const laidOut = (ort: Runtime, model: Model): Effect<readonly WrittenNode[]> =>
  TE.bracket(
    TE.rightTask(() => mkdtemp(join(tmpdir(), 'latentgraph-'))),
    (folder) =>
      effect(async (run) => {
        const layout = join(folder, 'layout.onnx')
        const session = await run(createSession(ort, model, { device: 'webgpu', mode: 'training', layout }))
        session.release()
        return run(
          TE.fromEither(
            pipe(
              writtenNodes(await readFile(layout)),
              E.mapLeft((reason) => [failure('compile', 'onnx:webgpu', "the runtime's own layout", reason)] as const),
            ),
          ),
        )
      }),
    (folder) => TE.rightTask(() => rm(folder, { recursive: true, force: true })),
  )

const bytesOf: Readonly<Record<string, number>> = { float32: 4, float16: 2, int32: 4, int64: 8, bool: 1 }

/** Bytes of arrays inside a model, whose types the runtime infers. */
const sizes = (ort: Runtime, model: Model, names: readonly string[]): Effect<ReadonlyMap<string, number>> =>
  names.length === 0
    ? TE.right(new Map())
    : TE.tryCatch(
        async () => {
          const bytes = encode({ ...model, outputs: names.map((name) => ({ name })) })
          const session = await ort.InferenceSession.create(bytes, { graphOptimizationLevel: 'disabled' })
          const found = session.outputMetadata.map((x) => {
            const shape = x.isTensor ? x.shape.map(Number) : []
            return [x.name, x.isTensor ? size(shape) * (bytesOf[x.type] ?? Number.NaN) : 0] as const
          })
          await session.release()
          return new Map(found)
        },
        (e) => [failure('compile', 'onnx:cpu', 'types that can be inferred', reasonOf(e))],
      )

/** What crosses, by its name on the host's side, and the nodes there. Shapes are constants here, so a node reads no array of the other side. */
const crossings = (nodes: readonly WrittenNode[]) => {
  const copies = (op: string): readonly WrittenNode[] => nodes.filter((n) => n.op === op)
  const up = new Set(copies('MemcpyToHost').flatMap(({ outputs }) => outputs))
  const down = new Set(copies('MemcpyFromHost').flatMap(({ inputs }) => inputs))
  const computing = nodes.filter(({ op }) => !op.startsWith('Memcpy'))
  const made = new Set(computing.flatMap(({ outputs }) => outputs))
  const hosted = new Set([...up, ...down].filter((name) => up.has(name) || made.has(name)))
  const onHost = new Set<WrittenNode>()
  let before: number
  do {
    before = onHost.size
    for (const n of computing) {
      const touches = [...n.inputs, ...n.outputs].filter((name) => up.has(name) || made.has(name))
      if (!touches.some((name) => hosted.has(name))) continue
      onHost.add(n)
      for (const name of touches) hosted.add(name)
    }
  } while (onHost.size > before)
  return { up, down, onHost: [...onHost] }
}

const leavingOf = (
  { up, down, onHost }: ReturnType<typeof crossings>,
  bytes: ReadonlyMap<string, number>,
): readonly Leaving[] => {
  const counted = new Set<string>()
  const once = (names: readonly string[], way: string): number =>
    names.reduce((sum, name) => {
      if (counted.has(`${way} ${name}`)) return sum
      counted.add(`${way} ${name}`)
      return sum + (bytes.get(name) ?? Number.NaN)
    }, 0)
  return [...new Set(onHost.map(({ op }) => op))].sort().map((op) => {
    const mine = onHost.filter((n) => n.op === op)
    const read = mine.flatMap(({ inputs }) => inputs.filter((name) => up.has(name)))
    const given = mine.flatMap(({ outputs }) => outputs.filter((name) => down.has(name)))
    return { op, nodes: mine.length, toHost: once(read, 'up'), toDevice: once(given, 'down') }
  })
}

/**
 * What of a model leaves the device on `onnx:webgpu`. ONNX Runtime is asked: it lays the model out over its providers as
 * it would to run it, and writes down the copies that it put between them. Nothing runs.
 */
export const placementOf = (bare: Model, resident: Resident): Effect<Placement> =>
  effect(async (run) => {
    const ort = await run(runtime)
    const model = gated(bare, resident)
    const crossing = crossings(await run(laidOut(ort, model)))
    const names = [...new Set([...crossing.up, ...crossing.down])]
    return { nodes: bare.nodes.length, leaving: leavingOf(crossing, await run(sizes(ort, model, names))) }
  })

/** The same of a graph, as it is compiled for training. */
export const webgpuPlacement = (graph: Graph, resident: Resident, constants: Values = {}): Effect<Placement> =>
  placementOf(lower(graph, { device: 'webgpu', mode: 'training', block: null }, constants), resident)
