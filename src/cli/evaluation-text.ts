import {
  type Evaluation,
  type FeatureFigures,
  figureHeads,
  figureRow,
  percent,
  significant,
} from '../train/evaluation/index.ts'

/** Evaluations, for people. */

/** Columns of equal width, two spaces apart. */
const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, c) => Math.max(...rows.map((row) => row[c]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, c) => cell.padEnd(widths[c] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const reconstructionLine = ({ reconstructions }: Evaluation): string =>
  reconstructions === undefined
    ? ''
    : `reconstructions of ${reconstructions.count} held-out pictures: ${reconstructions.psnr.toFixed(2)} dB PSNR, SSIM ${reconstructions.ssim.toFixed(4)}${
        reconstructions.lpips === undefined ? '' : `, LPIPS ${significant(reconstructions.lpips)}`
      }\n`

const bitsLine = ({ bits }: Evaluation): string =>
  bits === undefined
    ? ''
    : `bound of ${bits.count} held-out pictures: ${significant(bits.bound)} bits a dimension of ${bits.of}, by ${bits.timesteps} timesteps\n`

const captionLine = ({ captions }: Evaluation): string => {
  if (captions === undefined) return ''
  const { count, seen, unseen } = captions
  const named = [...seen.wrong, ...unseen.wrong].slice(0, 4).map((caption) => `"${caption}"`)
  const wrong =
    named.length === 0
      ? ''
      : `; not ${named.join(', ')}${seen.right + unseen.right + named.length < 2 * count ? ', ...' : ''}`
  return `captions that are true of what is drawn by them: ${percent(seen.right / count)} of ${count}, ${percent(unseen.right / count)} of ${count} about things never trained on${wrong}\n`
}

const classLine = ({ extractor, classes }: FeatureFigures): string => {
  if (classes === undefined) return ''
  const asked = classes.rows.reduce((n, { asked: some = 0 }) => n + some, 0)
  const agree = classes.rows.reduce((n, { agree: some = 0 }) => n + some, 0)
  const told =
    asked === 0
      ? ''
      : `; ${percent(agree / asked)} are nearest to the class that was asked for (held-out pictures to theirs: ${percent(classes.heldOut)})`
  return `classes by ${extractor}: samples are nearest to ${percent(classes.coverage)} of them${told}\n`
}

/** The figures, each with the number of pictures it is of. */
export const showEvaluation = (found: Evaluation): string => {
  const { samples } = found
  const first = `${reconstructionLine(found)}${bitsLine(found)}${captionLine(found)}`
  if (samples === undefined) return first
  return `${first}\n${table([figureHeads, ...samples.features.map(figureRow)])}\n\n${samples.features.map(classLine).join('')}`
}

const change = (is: number, was: number): string => `${significant(was)} -> ${significant(is)}`

/** Figures of one evaluation beside those of another on the same terms. */
export const showComparison = (is: Evaluation, was: Evaluation): string => {
  const before = (f: FeatureFigures) => was.samples?.features.find(({ identity }) => identity === f.identity)
  const rows = (is.samples?.features ?? []).flatMap((f) => {
    const b = before(f)
    return b === undefined
      ? []
      : [
          [
            f.extractor,
            change(f.frechet, b.frechet),
            change(f.kernel, b.kernel),
            change(f.precision, b.precision),
            change(f.recall, b.recall),
          ],
        ]
  })
  const [now, then] = [is.reconstructions, was.reconstructions]
  const first =
    now === undefined || then === undefined
      ? ''
      : `reconstructions: ${change(now.psnr, then.psnr)} dB PSNR, SSIM ${change(now.ssim, then.ssim)}\n`
  const bound =
    is.bits === undefined || was.bits === undefined
      ? ''
      : `bound: ${change(is.bits.bound, was.bits.bound)} bits a dimension of ${is.bits.of}\n`
  return `against ${was.run.name}:\n${first}${bound}${rows.length === 0 ? '' : `${table([['features', 'Frechet', 'kernel', 'precision', 'recall'], ...rows])}\n`}`
}
