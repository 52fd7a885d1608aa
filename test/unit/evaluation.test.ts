import { describe, expect, it } from 'vitest'
import { sampling } from '../../src/experiment/sampling.ts'
import { E } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { featureFigures } from '../../src/train/evaluation/figures.ts'
import {
  comparable,
  type Evaluation,
  evaluation,
  evaluationSection,
  withSection,
} from '../../src/train/evaluation/index.ts'
import { right } from '../arbitrary/run.ts'

const pointsOf = (rows: readonly (readonly number[])[]) => ({
  n: rows.length,
  dim: rows[0]?.length ?? 0,
  data: Float64Array.from(rows.flat()),
})
/** Two classes of training pictures, round (0, 0) and round (10, 0); samples are all of the first. */
const corners = [0, 1, 2, 3].map((i) => [i % 2, Math.floor(i / 2)] as const)
const references = pointsOf([...corners, ...corners.map(([x, y]) => [10 + x, y])])
const samples = pointsOf(corners.map(([x, y]) => [x, y + 0.5]))
const heldOut = pointsOf([
  [10, 0.4],
  [0, 0.1],
])
const { figures, nearestOf } = featureFigures(
  { extractor: 'plane', identity: 'plane 1', picture: 'nearest-plane.png' },
  {
    samples,
    references,
    heldOut,
    names: Array.from({ length: 8 }, (_, i) => `${i}.png`),
    classes: {
      names: ['left', 'right', 'nowhere'],
      references: [0, 0, 0, 0, 1, 1, 1, 1],
      heldOut: [1, 1],
      asked: [0, 0, 1, 1],
    },
  },
)

describe('figures of samples', () => {
  it('have the nearest training picture of each, and distances a feature beside those of held-out pictures', () => {
    expect(Array.from(nearestOf)).toEqual([0, 1, 2, 3])
    expect(figures.nearest.pairs[3]).toEqual({
      sample: 3,
      picture: '3.png',
      distance: expect.closeTo(0.5 / Math.SQRT2),
    })
    expect(figures.nearest.median).toBeCloseTo(0.5 / Math.SQRT2)
    expect(figures.nearest.heldOut).toBeCloseTo((0.4 + 0.1) / 2 / Math.SQRT2)
  })
  it('count classes that are met, and agreement with those that were asked for', () => {
    expect(figures.classes).toEqual({
      coverage: 1 / 2,
      heldOut: 1 / 2,
      rows: [
        { name: 'left', nearest: 4, asked: 2, agree: 2 },
        { name: 'right', nearest: 0, asked: 2, agree: 0 },
        { name: 'nowhere', nearest: 0, asked: 0, agree: 0 },
      ],
    })
    expect(figures).toMatchObject({
      samples: 4,
      references: 8,
      dimensions: 2,
      precision: 1,
      recall: 0.5,
      neighbours: 3,
    })
  })
})

const found: Evaluation = {
  format: 'latentgraph-evaluation',
  version: 1,
  latentgraph: '0.1.0',
  executor: 'onnx:cpu',
  run: { name: 'a <run>', seed: 1, checkpoints: [{ stage: 'diffusion', step: 12, sha256: 'ab' }] },
  data: { size: 16, trained: 8, heldOut: 2, sha256: 'cd' },
  reconstructions: { count: 2, psnr: 20.5, ssim: 0.9 },
  samples: {
    count: 4,
    seed: 1,
    sampling: right(decode(sampling)({ steps: 3, perClass: 2 })),
    features: [figures],
  },
}

describe('an evaluation', () => {
  it('is read back as it is written', () => {
    expect(right(decode(evaluation)(JSON.parse(JSON.stringify(found))))).toEqual(found)
  })
  it('is comparable with itself, and refused where a count, the pictures or the extractor is another', () => {
    expect(E.isRight(comparable('x', found, found))).toBe(true)
    const { samples: of } = found
    if (of === undefined) throw new Error('no samples')
    const others: readonly (readonly [Evaluation, string])[] = [
      [{ ...found, data: { ...found.data, sha256: 'ef' } }, 'pictures whose contents are cd'],
      [{ ...found, data: { ...found.data, trained: 9 } }, 'training pictures: 8'],
      [{ ...found, data: { ...found.data, heldOut: 3 } }, 'held-out pictures: 2'],
      [{ ...found, samples: { ...of, count: 5 } }, 'samples: 4'],
      [{ ...found, samples: { ...of, features: [{ ...figures, identity: 'plane 2' }] } }, 'figures by plane (plane 1)'],
      [{ ...found, samples: { ...of, features: [{ ...figures, references: 7 }] } }, 'references of plane: 8'],
    ]
    for (const [other, words] of others) {
      const result = comparable('x', found, other)
      expect(E.isLeft(result) ? result.left.map(({ expected }) => expected) : [], words).toEqual([words])
    }
  })
  it('is one section of the report, in the place of the last one', () => {
    const section = evaluationSection(found, [new Uint8Array([1, 2, 3])])
    expect(section).toContain('20.5 dB')
    expect(section).toContain('4 / 8')
    expect(section).toContain('data:image/png;base64,AQID')
    const page = '<main>\n  <section>\n    <h2>How it was made</h2></section></main>'
    const once = withSection(page, section)
    expect(once).toContain(section)
    expect(withSection(once ?? '', section)).toBe(once)
    expect(withSection(once ?? '', 'another')).not.toContain('20.5 dB')
    expect(withSection('<p>a page of another program</p>', section)).toBeUndefined()
  })
})
