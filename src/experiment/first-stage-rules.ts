import type { Experiment } from './document.ts'
import { type Problems, setting, unless } from './problems.ts'

/** Rules of what weighs pixels and of what numbers codes. */

export const weightRules = ({ data, firstStage }: Experiment): Problems => {
  if (firstStage.kind !== 'kl' || firstStage.loss.weights === undefined) return []
  const { weights } = firstStage.loss
  const at = '/firstStage/loss/weights'
  if (weights.kind === 'transparency')
    return unless(
      data.kind !== 'segmentation',
      `${at}/kind`,
      '"labels", as label maps have no transparency',
      weights.kind,
    )
  return data.kind === 'segmentation'
    ? unless(
        weights.weights.length === data.labels,
        `${at}/weights`,
        `${data.labels} numbers, one a label (/data/labels)`,
        weights.weights,
      ).concat(
        unless(
          weights.weights.some((w) => w > 0),
          `${at}/weights`,
          'a weight above 0 at least',
          weights.weights,
        ),
      )
    : unless(false, `${at}/kind`, '"transparency", as only label maps have labels', weights.kind)
}

const usedRules = (at: string, used: readonly number[], entries: number): Problems => [
  ...used.flatMap((code, i) =>
    unless(code < entries, `${at}/${i}`, `below ${entries}, the entries of the codebook`, code),
  ),
  ...unless(new Set(used).size === used.length, at, 'codes that differ', used),
]

export const codeRules = ({ firstStage }: Experiment): Problems => {
  if (firstStage.kind !== 'vq') return []
  const { quantizer } = firstStage
  const at = '/firstStage/quantizer'
  if (quantizer.kind === 'gumbel')
    return quantizer.used === undefined ? [] : usedRules(`${at}/used`, quantizer.used, quantizer.entries)
  if (quantizer.remap === undefined) return []
  const { used, unknown } = quantizer.remap
  return [
    ...usedRules(`${at}/remap/used`, used, quantizer.entries),
    ...(unknown.kind === 'index'
      ? unless(
          unknown.index < used.length,
          `${at}/remap/unknown/index`,
          `below ${used.length}, a place in "used"`,
          unknown.index,
          `for a number of their own: ${setting({ [`${at}/remap/unknown`]: { kind: 'extra' } })}`,
        )
      : []),
  ]
}
