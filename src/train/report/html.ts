import { showDuration } from '../progress.ts'
import { style } from './style.ts'

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
  /** What to do next, each with its command. */
  readonly next: readonly { readonly what: string; readonly command: string }[]
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => entities[c] ?? c)

const dataUri = (type: string, bytes: Uint8Array | string): string =>
  `data:${type};base64,${Buffer.from(bytes).toString('base64')}`

const thousands = (n: number): string => n.toLocaleString('en-US')
const million = (n: number): string =>
  n >= 1e6 ? `${(n / 1e6).toFixed(2)} M` : n >= 1e3 ? `${(n / 1e3).toFixed(1)} k` : `${n}`

/** `plural(8, 'class', 'classes')` -> `8 classes` */
const plural = (n: number, one: string, many = `${one}s`): string => `${thousands(n)} ${n === 1 ? one : many}`

const figure = (className: string, title: string, inner: string, caption: string): string => `
  <section>
    <h2>${escapeHtml(title)}</h2>
    <figure class="${className}">
      ${inner}
      <figcaption>${escapeHtml(caption)}</figcaption>
    </figure>
  </section>`

export const gridFigure = (title: string, { png, rows, caption }: LabelledGrid): string =>
  figure(
    'grid',
    title,
    `<div class="rows">${rows.length === 0 ? '' : `<ol>${rows.map((r) => `<li>${escapeHtml(r)}</li>`).join('')}</ol>`}<img src="${dataUri('image/png', png)}" alt="${escapeHtml(title)}"></div>`,
    caption,
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
      <thead><tr><th>Stage</th><th>Parameters</th><th>Steps</th><th>Batch</th><th>Time</th><th>Graph</th></tr></thead>
      <tbody>${stages
        .map(
          (s) => `
        <tr><td>${escapeHtml(s.name)}</td><td>${thousands(s.parameters)}</td><td>${stepsOf(s)}</td><td>${thousands(s.batchSize)}</td><td>${showDuration(s.seconds)}</td><td><code title="${escapeHtml(s.graphHash)}">${escapeHtml(s.graphHash.slice(0, 16))}</code></td></tr>`,
        )
        .join('')}
      </tbody>
    </table></div>${stages.flatMap(({ notes }) => notes.map((note) => `\n    <p class="made">${escapeHtml(note)}</p>`)).join('')}`

/** One chart, an SVG for light pages and one for dark ones. */
export interface ThemedChart {
  readonly title: string
  readonly light: string
  readonly dark: string
  /** Whether held-out pictures are in it. */
  readonly heldOut?: boolean
}
const chart = ({ title, light, dark }: ThemedChart): string =>
  `<picture><source media="(prefers-color-scheme: dark)" srcset="${dataUri('image/svg+xml', dark)}"><img src="${dataUri('image/svg+xml', light)}" alt="${escapeHtml(title)}, over steps"></picture>`

/** The report of a run as one self-contained page. `curves` are the drawings of its losses, if any. */
export const reportHtml = (report: ReportData, curves: readonly ThemedChart[]): string => {
  const { name, data, machine, seed, version, stages, reconstructions, priorSamples, samples, next } = report
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(name)} - latentgraph</title>
<style>${style}</style>
</head>
<body>
<main>
  <header>
    <h1>${escapeHtml(name)}</h1>
    <p>Trained from nothing on ${escapeHtml(data.name)}.</p>
  </header>
${facts(report)}
${samples === undefined ? '' : gridFigure('Samples', samples)}
${reconstructions === undefined ? '' : gridFigure('Inputs and reconstructions', reconstructions)}
${priorSamples === undefined ? '' : gridFigure('Samples from the prior', priorSamples)}
${curves.length === 0 ? '' : figure('charts', 'Losses', `<div>${curves.map(chart).join('')}</div>`, `Smoothed over a twentieth of the run; faint: as measured.${curves.some(({ heldOut }) => heldOut === true) ? ' Dots: pictures held out, at each validation.' : ''}`)}
  <section>
    <h2>How it was made</h2>
${stageTable(stages)}
    <p class="made">${escapeHtml(machine.cpu)}, ${plural(machine.cores, 'core')}, executor ${escapeHtml(machine.executor)}, seed ${seed}, latentgraph ${escapeHtml(version)}.</p>
  </section>
  <section>
    <h2>How to go on</h2>
    <dl class="next">${next.map(({ what, command }) => `<dt>${escapeHtml(what)}</dt><dd><code>${escapeHtml(command)}</code></dd>`).join('')}</dl>
  </section>
  ${data.credit === undefined ? '' : `<footer>Pictures: ${escapeHtml(data.credit)}.</footer>`}
</main>
</body>
</html>
`
}
