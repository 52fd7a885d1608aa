import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assemble } from '../../src/execute/onnx/assemble.ts'
import { placementOf, webgpuPlacement } from '../../src/execute/onnx/placement.ts'
import { call, leaf } from '../../src/execute/onnx/value.ts'
import { residentIn } from '../../src/execute/placement.ts'
import { placements } from '../../src/execute/placements.ts'
import { load } from '../../src/execute/tfjs/installed.ts'
import { onWebgpu, tfjsPlacement } from '../../src/execute/tfjs/placement.ts'
import { schedule } from '../../src/execute/tfjs/program.ts'
import * as tfjs from '../../src/execute/tfjs/value.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { float } from '../../src/graph/types.ts'
import { TE } from '../../src/prelude.ts'
import { planExperiment, type StagePlan, stagesOf } from '../../src/train/plan.ts'
import { precision } from '../../src/transform/index.ts'
import { caseOf } from '../arbitrary/cases.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { right } from './onnx-support.ts'

/** An adversarial first stage, as small as tiny's. */
const adversarial = [
  '/firstStage/adversarial={"factor":{"start":2,"unit":"steps"},"discriminator":{"channels":16,"layers":1}}',
]
const stages = async (set: readonly string[] = []): Promise<readonly StagePlan[]> => {
  const experiment = right(await loadExperiment('graphs/tiny.json', set)())
  return stagesOf(right(await TE.fromEither(planExperiment(experiment, 8))()))
}

test('docs/executors.md knows every executor', async () => {
  const text = await readFile('docs/executors.md', 'utf8')
  for (const name of Object.keys(placements)) expect(text).toContain(`| \`${name}\``)
})

await suiteOn('onnx:webgpu', 'on onnx:webgpu', () => {
  test('nothing of the training steps of a KL autoencoder, a KL-GAN and a U-Net leaves the device', async () => {
    for (const set of [[], adversarial])
      for (const { step } of await stages(set)) {
        const { nodes, leaving } = right(await webgpuPlacement(step.graph, residentIn(step.carry))())
        expect(nodes).toBeGreaterThan(1000)
        expect(leaving).toEqual([])
      }
  })

  test('nor does it in mixed precision', async () => {
    for (const { step } of await stages()) {
      const { leaving } = right(await webgpuPlacement(precision('float16')(step.graph), residentIn(step.carry))())
      expect(leaving).toEqual([])
    }
  })

  test.each(opKinds.filter((op) => op !== 'constant'))('%s stays', async (op) => {
    for (const { graph } of fc.sample(caseOf(op), { numRuns: 6, seed: 7 })) {
      const resident = { leaves: Object.keys(feedTypes(graph)), outputs: Object.keys(graph.outputs) }
      expect(right(await webgpuPlacement(graph, resident)()).leaving).toEqual([])
    }
  })

  test('an op that the provider lacks is seen, with what it moves', async () => {
    const type = float(2, 3)
    const [x, y] = [leaf('x'), leaf('y')]
    const model = assemble(
      [
        { name: 'x', type },
        { name: 'y', type },
      ],
      [{ name: 'z', type, value: call('Add', [call('Sign', [call('Neg', [x])]), call('Sign', [y])]) }],
    )
    const leaving = async (leaves: readonly string[], outputs: readonly string[]) =>
      right(await placementOf(model, { leaves, outputs })()).leaving
    expect(await leaving([], [])).toEqual([{ op: 'Sign', nodes: 2, toHost: 24, toDevice: 48 }])
    expect(await leaving(['x', 'y'], ['z'])).toEqual([{ op: 'Sign', nodes: 2, toHost: 48, toDevice: 48 }])
  })
})

await suiteOn('tfjs:webgpu', 'on tfjs:webgpu', () => {
  const backs = (leaving: readonly { readonly toHost: number }[]) => leaving.filter(({ toHost }) => toHost > 0)

  test('the device waits for nothing in the training steps of a KL autoencoder, a KL-GAN and a U-Net', async () => {
    for (const set of [[], adversarial])
      for (const { step } of await stages(set)) {
        const { nodes, leaving } = right(await tfjsPlacement('webgpu')(step.graph, residentIn(step.carry))())
        expect(nodes).toBeGreaterThan(1000)
        expect(backs(leaving)).toEqual([])
        /** What the host makes of timesteps and rates it was fed, and sends in their place. */
        expect(leaving.reduce((sum, { toDevice }) => sum + toDevice, 0)).toBeLessThan(1000)
      }
  })

  test.each(opKinds)('%s reads nothing back', async (op) => {
    for (const { graph } of fc.sample(caseOf(op), { numRuns: 6, seed: 7 })) {
      const { leaving } = right(await tfjsPlacement('webgpu')(graph, { leaves: [], outputs: [] })())
      expect(backs(leaving)).toEqual([])
    }
  })

  test('what reads back, and what the host makes, is seen, and the backend is whole again', async () => {
    const { device, target, ...found } = right(await load('webgpu')())
    const type = float(2, 1, 1, 1, 600)
    const [x, y] = [tfjs.leaf('x', type), tfjs.leaf('y', float(3))]
    const shape = [2, 2, 1, 1, 600]
    const program = schedule({
      x2: tfjs.call('Neg', [x], type),
      z: tfjs.call('Tile', [x], { dtype: 'float32', shape }, { reps: [1, 2, 1, 1, 1] }),
      w: tfjs.call(
        'Add',
        [tfjs.call('Multiply', [y, y], float(3)), tfjs.slice(x, [0, 0, 0, 0, 0], [1, 1, 1, 1, 1])],
        float(1, 1, 1, 1, 3),
      ),
    })
    const own = (backend: object): readonly string[] => Object.keys(backend).sort()
    const before = own(device.backend())
    const { leaving } = onWebgpu({
      ready: { device, target, ...found },
      program,
      baked: {},
      fed: { x: type, y: float(3) },
      resident: { leaves: ['x'], outputs: ['x2'] },
    })
    expect(leaving).toEqual([
      { op: 'Multiply', nodes: 1, toHost: 0, toDevice: 12 },
      { op: 'Tile', nodes: 1, toHost: 4800, toDevice: 0 },
    ])
    expect(own(device.backend())).toEqual(before)
  })
})
