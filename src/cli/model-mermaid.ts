import { flops } from './check-report.ts'
import type { Glance, Station } from './model-blocks.ts'
import { short } from './model-svg.ts'

/** A network at a glance in Mermaid's language, which hosts of Markdown draw. */

/** Of characters that Mermaid takes for its own. */
const quoted = (text: string): string => `"${text.replaceAll('#', '#35;').replaceAll('"', '#quot;')}"`

const shapes: { readonly [K in Station['kind']]: (label: string) => string } = {
  input: (label) => `([${label}])`,
  block: (label) => `[${label}]`,
  output: (label) => `([${label}])`,
}
const labelOf = ({ label, shape, block }: Station): string =>
  quoted(
    [
      label,
      shape.join('×'),
      ...(block === undefined ? [] : [`${short(block.parameters)} parameters, ${flops(block.flops)}`]),
    ].join('<br/>'),
  )

const sectionLines = (section: string, k: number, { stations, links, told }: Glance): readonly string[] => {
  const id = (i: number): string => `s${k}n${i}`
  return [
    `  subgraph s${k}[${quoted(section)}]`,
    ...stations.map((s, i) => `    ${id(i)}${shapes[s.kind](labelOf(s))}`),
    ...links.map(({ from, to }) => `    ${id(from)} ${to - from === 1 ? '-->' : '-.->'} ${id(to)}`),
    ...told.map(({ from, to }, j) => `    ${id(from)} --> s${k}t${j}{{${quoted(`told to ${to.length} blocks`)}}}`),
    '  end',
  ]
}

export const mermaidOf = (sections: readonly { readonly section: string; readonly glance: Glance }[]): string =>
  `${['flowchart TB', ...sections.flatMap(({ section, glance }, k) => sectionLines(section, k, glance))].join('\n')}\n`
