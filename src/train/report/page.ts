import { escapeHtml } from './escape.ts'
import { style } from './style.ts'

export interface Page {
  readonly title: string
  /** HTML. */
  readonly lead: string
  readonly body: string
  /** Seconds after which it loads itself anew. */
  readonly refresh?: number
}

/** A page that needs no other file, for light and dark, wide and narrow. */
export const pageHtml = ({ title, lead, body, refresh }: Page): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${refresh === undefined ? '' : `<meta http-equiv="refresh" content="${refresh}">\n`}<title>${escapeHtml(title)} - latentgraph</title>
<style>${style}</style>
</head>
<body>
<main>
  <header>
    <h1>${escapeHtml(title)}</h1>
    <p>${lead}</p>
  </header>
${body}
</main>
</body>
</html>
`

/** A picture that opens large, by a click or the space bar; `source` is an address or the picture itself. */
export const zoomable = (source: string, title: string): string =>
  `<label class="zoom"><input type="checkbox" aria-label="${escapeHtml(`${title}, large`)}"><img src="${source}" alt="${escapeHtml(title)}"></label>`

/** A picture of a moment of training. */
export interface Frame {
  readonly step: number
  /** An address, or the picture itself. */
  readonly source: string
}
/** Pictures over time, beside each other. */
export const filmStrip = (frames: readonly Frame[]): string =>
  `<div class="strip" tabindex="0">${frames
    .map(({ step, source }) => `<div>${zoomable(source, `after step ${step}`)}<small>${step}</small></div>`)
    .join('')}</div>`

export interface Command {
  readonly what: string
  readonly command: string
}
export const commandList = (commands: readonly Command[]): string =>
  `<dl class="next">${commands.map(({ what, command }) => `<dt>${escapeHtml(what)}</dt><dd><code>${escapeHtml(command)}</code></dd>`).join('')}</dl>`
