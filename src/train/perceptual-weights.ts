import { type Effect, effect, failure } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import type { FirstStage } from '../experiment/document.ts'
import { parameters } from '../graph/graph.ts'
import { sameShape, showShape } from '../graph/types.ts'
import { readCheckpointFile } from '../io/checkpoint-file.ts'
import { countNonFinite } from '../io/stored.ts'
import { unwrapped } from '../io/wrapped-names.ts'
import { torchvisionNames } from '../nn/vgg.ts'
import { TE } from '../prelude.ts'
import { initialValue, loadedValues } from './state.ts'
import type { StepPlan } from './step.ts'

const torchvision = torchvisionNames('net')

/** What a weight may be called: in a whole model, in the reference's LPIPS on its own, in torchvision's VGG16. */
const namesOf = (leaf: string): readonly string[] => {
  const own = leaf.replace(/^.*perceptual_loss\./, '')
  const published = torchvision[own]
  return [leaf, own, ...(published === undefined ? [] : [published])]
}

/**
 * What a step's graph holds beside its state, as LPIPS does: weights that are in files, and numbers that are known. Errors: the
 * files', and `training` with the names of what no file holds.
 */
export const perceptualWeights = (
  { loss: { perceptual } }: FirstStage,
  { graph, carry }: Pick<StepPlan, 'graph' | 'carry'>,
): Effect<Values> =>
  effect(async (run) => {
    const constant = parameters(graph).filter(({ name }) => !Object.hasOwn(carry, name))
    const wanted = constant.filter(({ init }) => init.kind === 'loaded')
    const known = constant.flatMap((p) => (p.init.kind === 'values' ? [[p.name, initialValue(0, p)] as const] : []))
    if (wanted.length === 0) return Object.fromEntries(known)
    const files: Values[] = []
    for (const path of perceptual.files) files.push(loadedValues(unwrapped(await run(readCheckpointFile(path))).arrays))
    const found = wanted.map(({ name, shape }) => {
      const value = namesOf(name).flatMap((n) => files.flatMap((file) => file[n] ?? []))[0]
      return { name, shape, value }
    })
    const bad = found.filter(({ shape, value }) => value === undefined || !sameShape(value.shape, shape))
    const broken = found.filter(({ value }) => value !== undefined && countNonFinite(value.data) > 0)
    const [first, ...rest] = [
      ...broken.map(({ name }) =>
        failure('file', perceptual.files.join(', '), `finite numbers in ${name}`, 'NaN or infinity'),
      ),
      ...bad.map(({ name, shape, value }) =>
        failure(
          'training',
          `/firstStage/loss/perceptual/files: ${name}`,
          `a weight of shape ${showShape(shape)} in ${perceptual.files.join(' or ')}`,
          value === undefined ? 'none' : showShape(value.shape),
          'VGG16 of torchvision (vgg16-397923af.pth) and the heads of LPIPS (vgg.pth) together; VGG16 alone with "heads": "even"; or weight 0',
        ),
      ),
    ]
    if (first !== undefined) return run(TE.left([first, ...rest]))
    const loaded = found.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const]))
    return Object.fromEntries([...known, ...loaded])
  })
