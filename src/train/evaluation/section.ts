import { escapeHtml } from '../report/escape.ts'
import { fact, gridFigure, type LabelledGrid, wideTable } from '../report/html.ts'
import type { ClassRow, Evaluation, FeatureFigures } from './document.ts'

/** What the report says of an evaluation. */

export const significant = (x: number): string => (x === 0 ? '0' : Number(x.toPrecision(4)).toString())
export const percent = (x: number): string => `${(100 * x).toFixed(1)}%`

export const figureHeads = [
  'Features',
  'Samples / training',
  'Frechet',
  'Kernel',
  'Precision',
  'Recall',
  'Nearest (held-out)',
]
/** A cell for each of `figureHeads`. */
export const figureRow = (f: FeatureFigures): readonly string[] => [
  f.extractor,
  `${f.samples} / ${f.references}`,
  significant(f.frechet),
  significant(f.kernel),
  percent(f.precision),
  percent(f.recall),
  `${significant(f.nearest.median)} (${significant(f.nearest.heldOut)})`,
]

const facts = ({ reconstructions, bits, captions, samples }: Evaluation): string => {
  const of = (count: number): string => `of ${count} held-out pictures`
  const all = [
    ...(reconstructions === undefined
      ? []
      : [
          fact('PSNR', `${reconstructions.psnr.toFixed(1)} dB`, of(reconstructions.count)),
          fact('SSIM', reconstructions.ssim.toFixed(3), of(reconstructions.count)),
          ...(reconstructions.lpips === undefined
            ? []
            : [fact('LPIPS', significant(reconstructions.lpips), of(reconstructions.count))]),
        ]),
    ...(bits === undefined
      ? []
      : [
          fact(
            'Bits a dimension',
            significant(bits.bound),
            `${of(bits.count)}, of ${bits.of}; ${bits.timesteps} timesteps`,
          ),
        ]),
    ...(captions === undefined
      ? []
      : [
          fact('Captions that are true', percent(captions.seen.right / captions.count), `of ${captions.count}`),
          fact(
            'About things never trained on',
            percent(captions.unseen.right / captions.count),
            `of ${captions.count}`,
          ),
        ]),
    ...(samples === undefined ? [] : [fact('Samples', `${samples.count}`, `seed ${samples.seed}`)]),
  ]
  return all.length === 0 ? '' : `<dl class="facts">${all.join('')}</dl>`
}

const classTable = (extractor: string, rows: readonly ClassRow[]): string =>
  wideTable(
    ['Class', 'Asked for', 'Of these nearest to it', `Nearest to it in all, by ${extractor}`],
    rows.map(({ name, asked, agree, nearest }) => [
      name,
      asked === undefined ? '' : `${asked}`,
      agree === undefined ? '' : `${agree}`,
      `${nearest}`,
    ]),
  )

/** What the distances of samples are to be held against. */
const nearestCaption = ({ nearest: { median, heldOut }, samples, references }: FeatureFigures): string =>
  `Each row of samples over the nearest of ${references} training pictures; of ${samples} samples those that are nearest. The median distance a feature is ${significant(median)}, that of held-out pictures ${significant(heldOut)}.`

/** `pictures` are those of the nearest training pictures, in the order of the features. */
export const evaluationSection = (found: Evaluation, pictures: readonly LabelledGrid['png'][]): string => {
  const features = found.samples?.features ?? []
  const [classed] = features.filter(({ classes }) => classes !== undefined)
  const steps = found.run.checkpoints.map(({ stage, step }) => `${stage} at step ${step}`).join(', ')
  return `
  <section>
    <h2>Evaluation</h2>
    ${facts(found)}
    ${features.length === 0 ? '' : wideTable(figureHeads, features.map(figureRow))}
    <p class="made">${escapeHtml(steps)}; latentgraph ${escapeHtml(found.latentgraph)}, ${escapeHtml(found.executor)}. All figures: evaluation.json.</p>
    ${classed?.classes === undefined ? '' : classTable(classed.extractor, classed.classes.rows)}
  </section>
${features
  .map((f, i) => {
    const png = pictures[i]
    return png === undefined
      ? ''
      : gridFigure(`Nearest training pictures, by ${f.extractor}`, { png, rows: [], caption: nearestCaption(f) })
  })
  .join('')}`
}

const [from, to] = ['<!-- evaluation -->', '<!-- /evaluation -->']

/** A report with a section in the place of the last one; undefined where a page is no report. */
export const withSection = (page: string, section: string): string | undefined => {
  const whole = `${from}${section}${to}`
  const [begin, end] = [page.indexOf(from), page.indexOf(to)]
  if (begin >= 0 && end > begin) return `${page.slice(0, begin)}${whole}${page.slice(end + to.length)}`
  const made = page.indexOf('<section>\n    <h2>How it was made</h2>')
  return made < 0 ? undefined : `${page.slice(0, made)}${whole}\n  ${page.slice(made)}`
}
