import { showDuration } from '../progress.ts'
import { type Chart, chartSection } from './chart.ts'
import { escapeHtml } from './escape.ts'
import { type Command, commandList, filmStrip, pageHtml, zoomable } from './page.ts'

/** Pictures in rows, as one PNG; a label a row, or none. */
export interface LabelledGrid {
  readonly png: Uint8Array
  /** From top to bottom, one for each row of pictures; empty for no labels. */
  readonly rows: readonly string[]
  readonly caption: string
}

export interface StageSummary {
  readonly name: string
  /** Trainable numbers. */
  readonly parameters: number
  /** Done, and of how many where it ended early. */
  readonly steps: number
  readonly declaredSteps?: number
  /** What else is to be known of how it went. */
  readonly notes: readonly string[]
  readonly batchSize: number
  readonly seconds: number
  /** Steps a second; 0 where none was done. */
  readonly rate: number
  /** Of the training step's graph (`contentHash`). */
  readonly graphHash: string
}

/** What a finished run has to say; everything in the page comes from here. */
export interface ReportData {
  /** The experiment's name. */
  readonly name: string
  readonly seed: number
  /** Of latentgraph. */
  readonly version: string
  readonly data: {
    readonly name: string
    /** Pictures trained on, and held out. */
    readonly trained: number
    readonly heldOut: number
    /** Pixels a side. */
    readonly size: number
    readonly classes: readonly string[]
    /** Credit line of the pictures' authors, where they ask for one. */
    readonly credit?: string
  }
  readonly stages: readonly StageSummary[]
  /** Of the whole run, sampling included. */
  readonly seconds: number
  readonly machine: { readonly cpu: string; readonly cores: number; readonly executor: string }
  /** Of the first stage: mean over the held-out pictures, dB. */
  readonly psnr?: number
  /** Of what is made of a condition such as `low resolution`, and of interpolation, dB. */
  readonly restoration?: { readonly condition: string; readonly psnr: number; readonly baseline?: number }
  /** Inputs over reconstructions, of held-out pictures; where there is a first stage. */
  readonly reconstructions?: LabelledGrid
  /** Of the first stage. */
  readonly priorSamples?: LabelledGrid
  readonly samples?: LabelledGrid
  /** Rows of samples over rows of the pictures trained on that are nearest to them. */
  readonly nearest?: LabelledGrid
  /** Previews over time. */
  readonly strips: readonly Strip[]
  /** What the experiment declares: learning rates, the way from data to noise. */
  readonly declared: readonly Chart[]
  /** Its fields, as `--set` names them, and their values. */
  readonly recipe: readonly (readonly [pointer: string, value: string])[]
  /** What to do next, each with its command. */
  readonly next: readonly Command[]
}
/** Small pictures of moments of training. */
export interface Strip {
  readonly title: string
  readonly frames: readonly { readonly step: number; readonly webp: Uint8Array }[]
}

export const dataUri = (type: string, bytes: Uint8Array | string): string =>
  `data:${type};base64,${Buffer.from(bytes).toString('base64')}`

const thousands = (n: number): string => n.toLocaleString('en-US')
const million = (n: number): string =>
  n >= 1e6 ? `${(n / 1e6).toFixed(2)} M` : n >= 1e3 ? `${(n / 1e3).toFixed(1)} k` : `${n}`

/** `plural(8, 'class', 'classes')` -> `8 classes` */
const plural = (n: number, one: string, many = `${one}s`): string => `${thousands(n)} ${n === 1 ? one : many}`

const section = (title: string, inner: string): string => `
  <section>
    <h2>${escapeHtml(title)}</h2>
    ${inner}
  </section>`

export const gridFigure = (title: string, { png, rows, caption }: LabelledGrid): string =>
  section(
    title,
    `<figure class="grid">
      <div class="rows">${rows.length === 0 ? '' : `<ol>${rows.map((r) => `<li>${escapeHtml(r)}</li>`).join('')}</ol>`}${zoomable(dataUri('image/png', png), title)}</div>
      <figcaption>${escapeHtml(caption)}</figcaption>
    </figure>`,
  )

export const fact = (label: string, value: string, note: string): string =>
  `<div><dt>${escapeHtml(label)}</dt><dd>${escapeHtml(value)}<small>${escapeHtml(note)}</small></dd></div>`

const facts = ({ data, stages, psnr, restoration, seconds, machine }: ReportData): string => {
  const parameters = stages.reduce((n, s) => n + s.parameters, 0)
  return `
  <dl class="facts">
    ${psnr === undefined ? '' : fact('Held-out PSNR', `${psnr.toFixed(1)} dB`, `${plural(data.heldOut, 'picture')} never trained on`)}
    ${restoration === undefined ? '' : fact(`PSNR from ${restoration.condition}`, `${restoration.psnr.toFixed(1)} dB`, restoration.baseline === undefined ? 'of held-out pictures' : `${restoration.baseline.toFixed(1)} dB by interpolation`)}
    ${fact('Pictures', thousands(data.trained), `${data.size} x ${data.size}, ${plural(data.classes.length, 'class', 'classes')}`)}
    ${fact('Parameters', million(parameters), stages.map((s) => `${s.name} ${million(s.parameters)}`).join(', '))}
    ${fact('Time', showDuration(seconds), `${plural(machine.cores, 'core')}, ${machine.executor}`)}
  </dl>`
}

const stepsOf = ({ steps, declaredSteps }: StageSummary): string =>
  declaredSteps === undefined ? thousands(steps) : `${thousands(steps)} of ${thousands(declaredSteps)}`

export const wideTable = (heads: readonly string[], rows: readonly (readonly string[])[]): string => `
    <div class="wide"><table>
      <thead><tr>${heads.map((h) => `<th>${escapeHtml(h)}</th>`).join('')}</tr></thead>
      <tbody>${rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`).join('\n')}</tbody>
    </table></div>`

const stageTable = (stages: readonly StageSummary[]): string => `
    <div class="wide"><table>
      <thead><tr><th>Stage</th><th>Parameters</th><th>Steps</th><th>Batch</th><th>Time</th><th>Steps a second</th><th>Graph</th></tr></thead>
      <tbody>${stages
        .map(
          (s) => `
        <tr><td>${escapeHtml(s.name)}</td><td>${thousands(s.parameters)}</td><td>${stepsOf(s)}</td><td>${thousands(s.batchSize)}</td><td>${showDuration(s.seconds)}</td><td>${s.rate > 0 ? Number(s.rate.toPrecision(2)) : '-'}</td><td><code title="${escapeHtml(s.graphHash)}">${escapeHtml(s.graphHash.slice(0, 16))}</code></td></tr>`,
        )
        .join('')}
      </tbody>
    </table></div>${stages.flatMap(({ notes }) => notes.map((note) => `\n    <p class="made">${escapeHtml(note)}</p>`)).join('')}`

const stripSection = ({ title, frames }: Strip): string =>
  section(
    title,
    `${filmStrip(frames.map(({ step, webp }) => ({ step, source: dataUri('image/webp', webp) })))}
    <p class="made">After so many steps.</p>`,
  )

const smoothing = 'Smoothed over a twentieth of the run; faint: as measured.'

/** The report of a run as one self-contained page. `losses` and `others` are the curves of what it has measured, if any. */
export const reportHtml = (
  report: ReportData,
  { losses, others }: { readonly losses: readonly Chart[]; readonly others: readonly Chart[] },
): string => {
  const { name, data, machine, seed, version, stages, samples, next } = report
  const grids = [
    ['Samples', samples],
    ['Nearest training pictures', report.nearest],
    ['Inputs and reconstructions', report.reconstructions],
    ['Samples from the prior', report.priorSamples],
  ] as const
  const dots = losses.some(({ series }) => series.some((s) => s.dots === true))
  return pageHtml({
    title: name,
    lead: `Trained from nothing on ${escapeHtml(data.name)}.`,
    body: `${facts(report)}
${grids.map(([title, grid]) => (grid === undefined ? '' : gridFigure(title, grid))).join('\n')}
${report.strips.map(stripSection).join('\n')}
${chartSection('Losses', losses, `${smoothing}${dots ? ' Dots: pictures held out, at each validation.' : ''}`)}
${chartSection('What else was measured', others, smoothing)}
${chartSection('Rates and schedule', report.declared, 'As declared.')}
  <section>
    <h2>How it was made</h2>
${stageTable(stages)}
    <p class="made">${escapeHtml(machine.cpu)}, ${plural(machine.cores, 'core')}, executor ${escapeHtml(machine.executor)}, seed ${seed}, latentgraph ${escapeHtml(version)}.</p>
    <details><summary>Recipe: every field, as --set names it</summary>${wideTable(['Field', 'Value'], report.recipe)}</details>
  </section>
  <section>
    <h2>How to go on</h2>
    ${commandList(next)}
  </section>
  ${data.credit === undefined ? '' : `<footer>Pictures: ${escapeHtml(data.credit)}.</footer>`}`,
  })
}
