import { escapeHtml } from '../train/report/escape.ts'
import { style } from '../train/report/style.ts'
import { flops, thousands } from './check-report.ts'
import type { ModelBlock } from './model-blocks.ts'
import { type Drawing, drawingKey, short, svgOf, svgStyle } from './model-svg.ts'

/** A model as a page: each network as a picture, and under it its blocks, folded. */

export interface DrawnSection {
  readonly section: string
  readonly tree: ModelBlock
  readonly drawing: Drawing
}
export const anchorIn =
  (section: string) =>
  (block: string): string =>
    `${section}-${block}`.replace(/[^\w-]/g, '-')

const pageStyle = `
.lg { max-width: none; } .scroll { overflow-x: auto; padding-bottom: 0.4rem; }
main { max-width: 96rem; }
.tree { font-size: 0.92rem; font-variant-numeric: tabular-nums; }
.tree details > details, .tree details > .leaf { margin-left: 1.1rem; }
.tree summary, .tree .leaf { display: grid; grid-template-columns: minmax(10rem, 2fr) 3fr 7.5rem 6rem 6.5rem; gap: 0.6rem; padding: 0.28rem 0.3rem; border-bottom: 1px solid var(--line); }
.tree summary { cursor: pointer; list-style: none; } .tree summary > b::before { content: "▸ "; color: var(--quiet); } .tree details[open] > summary > b::before { content: "▾ "; }
.tree summary:hover, .tree :target > summary { background: var(--wash); }
.tree b { font-weight: 600; overflow-wrap: anywhere; } .tree .leaf b { font-weight: 400; }
.tree i { color: var(--quiet); font-style: normal; } .tree span { text-align: right; white-space: nowrap; }
.tree .head { color: var(--quiet); font-size: 0.82rem; } .tree .head b { font-weight: 400; }
.weights { margin: 0.2rem 0 0.4rem 1.4rem; color: var(--quiet); font-size: 0.82rem; overflow-wrap: anywhere; }
button { font: inherit; font-size: 0.85rem; padding: 0.2rem 0.7rem; margin: 0.6rem 0.4rem 0.6rem 0; border: 1px solid var(--line); border-radius: 6px; background: var(--wash); color: inherit; cursor: pointer; }
@media (max-width: 40rem) {
  .tree summary, .tree .leaf { grid-template-columns: 1fr 1fr 1fr; gap: 0 0.4rem; }
  .tree b, .tree i { grid-column: 1 / -1; } .tree span { text-align: left; } .tree .head { display: none; }
  .tree details > details, .tree details > .leaf { margin-left: 0.5rem; }
}
`
const script = `
const open = () => { for (let e = document.getElementById(location.hash.slice(1)); e; e = e.parentElement) if (e.tagName === 'DETAILS') e.open = true; document.getElementById(location.hash.slice(1))?.scrollIntoView() }
addEventListener('hashchange', open); open()
for (const b of document.querySelectorAll('button')) b.onclick = () => { for (const d of b.closest('section').querySelectorAll('details')) d.open = b.dataset.open === 'yes' }
`

const cells = ({ label, name, holds, shape, parameters, flops: all }: ModelBlock): string =>
  `<b title="${escapeHtml(name)}">${escapeHtml(label)}</b><i>${escapeHtml(holds)}</i><span>${shape.join('×')}</span><span title="${thousands(parameters)}">${short(parameters)}</span><span>${flops(all)}</span>`

const blockHtml = (block: ModelBlock, anchor: (name: string) => string): string => {
  const { name, children, weights } = block
  const inside =
    children.length > 0
      ? children.map((child) => blockHtml(child, anchor)).join('\n')
      : weights.length === 0
        ? ''
        : `<p class="weights">${weights.map((w) => `${escapeHtml(w.name.slice(name.length === 0 ? 0 : name.length + 1))} ${w.shape.join('×')}`).join(', ')}</p>`
  return inside === ''
    ? `<div class="leaf" id="${anchor(name)}">${cells(block)}</div>`
    : `<details id="${anchor(name)}"><summary>${cells(block)}</summary>${inside}</details>`
}

const sectionHtml = ({ section, tree, drawing }: DrawnSection): string => `
  <section>
    <h2>${escapeHtml(section)}</h2>
    <p class="made">${thousands(tree.parameters)} parameters, ${flops(tree.flops)} a picture${tree.holds === '' ? '' : `: ${escapeHtml(tree.holds)}`}.</p>
    <div class="scroll">${svgOf(drawing, section)}</div>
    <button type="button" data-open="yes">Unfold all</button><button type="button" data-open="no">Fold all</button>
    <div class="tree"><div class="leaf head"><b>block</b><i>what is in it</i><span>result</span><span>parameters</span><span>operations</span></div>
${tree.children.map((child) => blockHtml(child, anchorIn(section))).join('\n')}</div>
  </section>`

export const modelHtml = (
  title: string,
  sections: readonly DrawnSection[],
  missing: readonly string[],
): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} - latentgraph</title>
<style>${style}${svgStyle}${pageStyle}</style>
</head>
<body>
<main>
  <header>
    <h1>${escapeHtml(title)}</h1>
    <p>${thousands(sections.reduce((n, { tree }) => n + tree.parameters, 0))} parameters in ${sections.length} ${sections.length === 1 ? 'network' : 'networks'}. ${drawingKey} Choose a block to see what is in it.</p>
  </header>
${sections.map(sectionHtml).join('\n')}
${missing.map((m) => `  <p class="made">${escapeHtml(m)}</p>`).join('\n')}
</main>
<script>${script}</script>
</body>
</html>
`
