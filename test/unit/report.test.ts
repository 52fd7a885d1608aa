import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { E } from '../../src/prelude.ts'
import { chartFigure } from '../../src/train/report/chart.ts'
import { chartOf, curvesOf, otherCharts } from '../../src/train/report/curves.ts'
import { escapeHtml } from '../../src/train/report/escape.ts'
import { reportHtml } from '../../src/train/report/html.ts'
import { type ReportData, writeReport } from '../../src/train/report/index.ts'
import { lossCurves } from '../../src/train/report/loss-curves.ts'
import { rasterise } from '../../src/train/report/raster.ts'
import { linearTicks, logTicks } from '../../src/train/report/scale.ts'
import { right } from '../arbitrary/run.ts'

const falling = Array.from({ length: 400 }, (_, i) => ({
  step: i + 1,
  loss: Math.exp(-i / 50) + 0.01 * (2 + Math.sin(i)),
  total_loss: Math.exp(-i / 50) + 0.01 * (2 + Math.sin(i)),
  kl_loss: 5 + i / 100,
  logvar: 0,
  constant_loss: 1,
}))
const stages = [{ stage: 'first-stage', metrics: falling }]

const png = new Uint8Array([1, 2, 3])
const report: ReportData = {
  name: 'a <b> & "c"',
  seed: 7,
  version: '0.1.0',
  data: { name: 'pictures', trained: 1500, heldOut: 1, size: 32, classes: ['x'], credit: "artist's & co" },
  stages: [
    {
      name: 'first-stage',
      parameters: 853251,
      steps: 1800,
      batchSize: 16,
      seconds: 182,
      rate: 9.9,
      graphHash: 'ab'.repeat(32),
      notes: [],
    },
  ],
  seconds: 540,
  machine: { cpu: 'cpu', cores: 2, executor: 'onnx:cpu' },
  psnr: 26.04,
  reconstructions: { png, rows: ['inputs', 'reconstructions'], caption: 'held out' },
  priorSamples: { png, rows: [], caption: 'decoded noise' },
  samples: { png, rows: ['<script>alert(1)</script>'], caption: 'DDIM' },
  nearest: { png, rows: [], caption: 'of 1500' },
  strips: [{ title: 'first-stage: samples', frames: [{ step: 900, webp: png }] }],
  declared: [
    {
      title: 'learning <rate>',
      along: 'step',
      series: [
        {
          name: 'rate',
          points: [
            [1, 0.1],
            [2, 0.2],
          ],
          colour: 0,
        },
      ],
    },
  ],
  recipe: [['/seed', '7']],
  next: [{ what: 'More', command: 'latentgraph sample runs/x --class "A & B"' }],
}

describe('loss curves', () => {
  it('draws the losses that change, each once, the total first', () => {
    expect(curvesOf(stages).map(({ metric }) => metric)).toEqual(['loss', 'kl_loss'])
  })

  it('law: the smoothed line stays within the measured values, and is a straight line where they are', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 2, maxLength: 300 }), (values) => {
        const metrics = values.map((loss, step) => ({ step, loss }))
        for (const { points } of curvesOf([{ stage: 's', metrics }])) {
          expect(Math.min(...points.map((p) => p.smooth))).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9)
          expect(Math.max(...points.map((p) => p.smooth))).toBeLessThanOrEqual(Math.max(...values) + 1e-9)
        }
      }),
    )
    const line = Array.from({ length: 200 }, (_, step) => ({ step, loss: 3 * step }))
    const points = curvesOf([{ stage: 's', metrics: line }])[0]?.points ?? []
    expect(points.slice(0, 190).map((p) => p.smooth)).toEqual(points.slice(0, 190).map((p) => p.value))
  })

  it('are an SVG with titles and named axes', async () => {
    const result = await lossCurves(stages)()
    const svg = E.isRight(result) ? result.right : ''
    expect(svg).toMatch(/^<svg/)
    for (const text of ['first-stage: loss', 'first-stage: kl_loss', '>step<', '>kl_loss<']) expect(svg).toContain(text)
  })

  it('of held-out pictures stand beside those trained on, and what they alone are asked has panels of its own', async () => {
    const asked = (i: number) => ({ 'val/loss': 1 / i, 'val/loss_ema': 2 / i, 'val/psnr': i, 'val/psnr_ema': 2 * i })
    const metrics = Array.from({ length: 40 }, (_, i) => ({
      step: i,
      loss: 1 / (i + 1),
      ...(i % 10 === 9 ? asked(i) : {}),
    }))
    const curves = curvesOf([{ stage: 's', metrics }])
    expect(
      curves.map(({ metric, points, heldOut }) => [
        metric,
        points.length,
        heldOut.map(({ averaged, points }) => [averaged, points.length]),
      ]),
    ).toEqual([
      [
        'loss',
        40,
        [
          [false, 4],
          [true, 4],
        ],
      ],
      [
        'psnr',
        0,
        [
          [false, 4],
          [true, 4],
        ],
      ],
    ])
    const svg = right(await lossCurves([{ stage: 's', metrics }])()) ?? ''
    for (const text of ['s: psnr', '>trained on<', '>held out<', '>held out, averaged<']) expect(svg).toContain(text)
  })

  it('are left out where there is nothing to draw', async () => {
    const stages = [
      { stage: 's', metrics: [{ step: 1, loss: 1 }] },
      { stage: 'imported', metrics: [] },
    ]
    expect(await lossCurves(stages)()).toEqual(E.right(undefined))
  })
})

describe('charts', () => {
  it('law: every point lies within the drawing, and every tick within the range', () => {
    const value = fc.double({ min: -1e6, max: 1e6, noNaN: true })
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value), { minLength: 1, maxLength: 50 }), fc.boolean(), (points, log) => {
        const drawn = log ? points.map(([x, y]) => [x, Math.abs(y) + 1e-9] as const) : points
        const svg = chartFigure({ title: 't', along: 'x', log, series: [{ name: 's', points: drawn, colour: 0 }] })
        const places = /points="([^"]*)"/.exec(svg)?.[1]?.split(' ') ?? []
        expect(places).toHaveLength(points.length)
        for (const [x = -1, y = -1] of places.map((p) => p.split(',').map(Number)))
          expect(x >= 0 && x <= 320 && y >= 0 && y <= 180, svg).toBe(true)
      }),
    )
    fc.assert(
      fc.property(value, fc.double({ min: 1e-3, max: 1e6, noNaN: true }), (low, wide) => {
        const range = [low, low + wide] as const
        const ticks = linearTicks(range, 5)
        expect(ticks.length).toBeLessThanOrEqual(6)
        for (const tick of ticks) expect(tick >= low - wide * 1e-6 && tick <= low + wide * (1 + 1e-6)).toBe(true)
      }),
    )
    expect(logTicks([0.1, 5])).toEqual([0.1, 0.2, 0.5, 1, 2, 5])
  })

  it('draws nothing of nothing, and no number that is none', () => {
    const of = (points: readonly (readonly [number, number])[]) =>
      chartFigure({ title: 't', along: 'x', series: [{ name: 's', points, colour: 0 }] })
    expect([of([]), of([[1, Number.NaN]])]).toEqual(['', ''])
    expect(
      of([
        [1, 2],
        [2, Number.POSITIVE_INFINITY],
        [3, 4],
      ]),
    ).not.toMatch(/NaN|Infinity/)
  })

  it('tells of a contest: both norms together, the adaptive weight, and of a codebook', () => {
    const metrics = Array.from({ length: 5 }, (_, i) => ({
      ...{ step: i + 1, loss: 1, logvar: 0, disc_factor: 1 },
      ...{ d_weight: i + 1, nll_grad_norm: 2 * i + 1, g_grad_norm: i + 3, perplexity: 5 - i },
    }))
    const charts = otherCharts([{ stage: 's', metrics }])
    expect(
      charts.map(({ title, series }) => [title, series.flatMap(({ faint, name }) => (faint ? [] : name))]),
    ).toEqual([
      ['s: gradient norms at the last layer', ['of the reconstruction', 'of the discriminator']],
      ['s: weight of the discriminator', ['d_weight, adaptive']],
      ['s: codebook use', ['perplexity']],
    ])
  })
})

describe('rasterise', () => {
  it('draws text, also where the machine has no fonts and no temporary folder', async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"><text x="2" y="15">loss</text></svg>'
    const folder = await mkdtemp(join(tmpdir(), 'latentgraph-chart-'))
    const temporaryFolder = process.env.TMPDIR
    process.env.TMPDIR = '/nonexistent'
    const result = await rasterise(svg, relative(process.cwd(), join(folder, 'chart.png')))()
    if (temporaryFolder === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = temporaryFolder
    expect(await readdir(folder)).toEqual([])
    await rm(folder, { recursive: true })
    if (E.isLeft(result)) throw new Error('no picture')
    const { data, info } = await sharp(result.right).greyscale().raw().toBuffer({ resolveWithObject: true })
    expect([info.width, info.height]).toEqual([120, 40])
    expect(data.filter((v) => v < 128).length).toBeGreaterThan(50)
    expect(process.env.FONTCONFIG_FILE).toBeUndefined()
  })
})

describe('report', () => {
  it('escapes everything and needs no other file', () => {
    const html = reportHtml(report, { losses: curvesOf(stages).map(chartOf), others: [] })
    expect(html).not.toContain('<script')
    expect(html).toContain('prefers-color-scheme: dark')
    expect(html).toContain('<h1>a &lt;b&gt; &amp; &quot;c&quot;</h1>')
    expect(html).toContain('--class &quot;A &amp; B&quot;')
    expect(html).toContain('artist&#39;s &amp; co')
    const sources = [...html.matchAll(/(?:src|srcset|href)="([^"]*)"/g)].map(([, source]) => source ?? '')
    expect(sources).toHaveLength(5)
    expect(html).toContain('learning &lt;rate&gt;, over step')
    expect(html).toContain('<td>/seed</td><td>7</td>')
    expect(sources.every((s) => s.startsWith('data:image/'))).toBe(true)
    for (const text of ['26.0 dB', '1 picture never', '1,800', '853,251', '3m 2s', 'seed 7', 'onnx:cpu', 'abababab'])
      expect(html).toContain(text)
  })

  it('leaves out what there is not', () => {
    const { samples: _, ...rest } = report
    const html = reportHtml(rest, { losses: [], others: [] })
    expect(html).not.toContain('<h2>Samples</h2>')
    expect(html).toContain('<h2>Samples from the prior</h2>')
  })

  it('law: escaped text holds no markup and reads back the same', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const escaped = escapeHtml(text)
        expect(escaped).not.toMatch(/[<>"']/)
        const back = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&amp;': '&' }
        expect(
          escaped.replace(/&(lt|gt|quot|#39|amp);/g, (e) => Object.entries(back).find(([k]) => k === e)?.[1] ?? e),
        ).toBe(text)
      }),
    )
  })

  it('is written without curves where stages were imported, not trained', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'latentgraph-report-'))
    const result = await writeReport(folder, report, [{ stage: 'first-stage', metrics: [] }])()
    expect(result).toEqual(E.right(join(folder, 'report.html')))
    expect(await readdir(folder)).toEqual(['report.html'])
    expect(await readFile(join(folder, 'report.html'), 'utf8')).not.toContain('Losses')
    await rm(folder, { recursive: true })
  })

  it('is written beside its curves', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'latentgraph-report-'))
    const result = await writeReport(folder, report, stages)()
    expect(result).toEqual(E.right(join(folder, 'report.html')))
    expect((await readdir(folder)).toSorted()).toEqual(['loss-curves.png', 'loss-curves.svg', 'report.html'])
    expect(await readFile(join(folder, 'report.html'), 'utf8')).toContain('first-stage: kl_loss, over step')
    await rm(folder, { recursive: true })
  })
})
