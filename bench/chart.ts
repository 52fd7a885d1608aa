import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Row } from './compare.ts'
import { peerModeNames, peerModes, peerName } from './peer.ts'

/** Times of all modes beside ours, one panel a work, as SVG. */
export const chart = (rows: readonly Row[], about: string): Promise<string> => {
  const values = rows.flatMap(({ work, executor, precision, ours, peers }) => [
    { work, who: `${executor}, ${precision}`, ms: ours.ms, side: 'latentgraph' },
    ...peerModeNames.flatMap((mode) => {
      const time = peers[mode]
      return time === undefined ? [] : [{ work, who: peerName(mode), ms: time.ms, side: peerModes[mode].of }]
    }),
  ])
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: 'Median time in ms, shorter is faster', subtitle: about.split('\n'), anchor: 'start' },
    background: 'white',
    data: { values },
    facet: {
      row: { field: 'work', type: 'nominal', sort: null, title: null, header: { labelAngle: 0, labelAlign: 'left' } },
    },
    resolve: { scale: { x: 'independent' } },
    spec: {
      width: 420,
      height: { step: 14 },
      mark: { type: 'bar' },
      encoding: {
        y: { field: 'who', type: 'nominal', sort: null, title: null },
        x: { field: 'ms', type: 'quantitative', title: null, axis: { tickCount: 4 } },
        color: {
          field: 'side',
          type: 'nominal',
          legend: null,
          scale: { domain: ['latentgraph', 'PyTorch', 'JAX'], range: ['#1f6f8b', '#c9c2b8', '#dcd3b0'] },
        },
      },
    },
  }
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG()
}
