import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assemble } from '../../src/execute/onnx/assemble.ts'
import { placementOf, webgpuPlacement } from '../../src/execute/onnx/placement.ts'
import { call, leaf } from '../../src/execute/onnx/value.ts'
import { residentIn } from '../../src/execute/placement.ts'
import { placements } from '../../src/execute/placements.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { float } from '../../src/graph/types.ts'
import { TE } from '../../src/prelude.ts'
import { planExperiment, type StagePlan, stagesOf } from '../../src/train/plan.ts'
import { precision } from '../../src/transform/index.ts'
import { caseOf } from '../arbitrary/cases.ts'
import { devices, right } from './onnx-support.ts'

const webgpu = (await devices()).includes('webgpu')

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

describe.runIf(webgpu)('on onnx:webgpu', () => {
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
      const { leaving } = right(await webgpuPlacement(precision(step.graph), residentIn(step.carry))())
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
