import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

/** Plots of what programs of documents export, each under the export's name. */

type Encoding = Readonly<Record<string, unknown>>
const axis = (field: string, title: string, more: Encoding = {}): Encoding => ({
  field,
  type: 'quantitative',
  title,
  ...more,
})
const log = { scale: { type: 'log' }, axis: { grid: false } }
const curve = (x: Encoding, y: Encoding, by?: string): Encoding => ({
  mark: { type: 'line', strokeWidth: 2 },
  encoding: { x, y, ...(by === undefined ? {} : { color: { field: by, type: 'nominal', sort: null } }) },
})

const figures: Readonly<Record<string, Encoding>> = {
  divergences: curve(axis('mean', 'mean'), axis('nats', 'divergence, nats'), 'sigma'),
  contest: {
    transform: [{ fold: ['hinge', 'vanilla', 'generator'], as: ['loss', 'value'] }],
    ...curve(axis('logit', 'what the discriminator says, s'), axis('value', 'loss'), 'loss'),
  },
  weights: curve(axis('scale', "scale of the contest's loss", log), axis('weight', 'weight', log)),
  regions: {
    height: 340,
    mark: { type: 'square', size: 270, opacity: 0.7 },
    encoding: { x: axis('x', 'z1'), y: axis('y', 'z2'), color: { field: 'code', type: 'nominal' } },
  },
  falls: curve(axis('t', 't'), axis('logSnr', 'log SNR'), 'schedule'),
  groups: {
    mark: 'bar',
    encoding: {
      x: axis('x', 'x_0', { bin: { extent: [-3.5, 3.5], step: 0.25 } }),
      y: { aggregate: 'count', type: 'quantitative', title: 'points' },
      column: { field: 'scale', type: 'nominal', title: null },
    },
    height: 120,
    width: 130,
  },
  errors: {
    mark: { type: 'line', point: true, strokeWidth: 2 },
    encoding: {
      x: axis('calls', 'calls of the network', { scale: { type: 'log', base: 2 }, axis: { grid: false } }),
      y: axis('error', 'error at the end', log),
      color: { field: 'sampler', type: 'nominal', sort: null },
    },
  },
}
/** Files by the export that they show, where they are not named like it. */
export const files: Readonly<Record<string, string>> = { weights: 'adaptive-weight', falls: 'schedules' }

/** An export as an SVG. */
export const plot = async (name: string, rows: unknown): Promise<string> => {
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: '#ffffff',
    width: 340,
    height: 200,
    config: { font: 'sans-serif', view: { stroke: null } },
    data: { values: rows },
    ...figures[name],
  } as TopLevelSpec
  const view = new View(parse(compile(spec).spec), { renderer: 'none' })
  const svg = await view.toSVG()
  view.finalize()
  return `${svg}\n`
}
