import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { projectFiles } from '../../src/cli/project-files.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import {
  batchFor,
  largestSide,
  type PictureFacts,
  proposedDocument,
  sides,
  stepsWithin,
  usualSteps,
} from '../../src/experiment/proposal.ts'
import { E } from '../../src/prelude.ts'
import { planExperiment } from '../../src/train/plan.ts'

const told = ['none', 'class', 'text'] as const
const facts = fc
  .record({
    n: fc.integer({ min: 2, max: 1e5 }),
    classes: fc.integer({ min: 2, max: 200 }),
    told: fc.constantFrom(...told),
    words: fc.integer({ min: 1, max: 400 }),
  })
  .map((f): PictureFacts => f)
const named = { name: 'mine', schema: './experiment.schema.json', data: { kind: 'folder', path: '../pictures' } }

describe('a first experiment', () => {
  test('has no fault, whatever the pictures and the pace', () =>
    fc.assert(
      fc.property(
        facts,
        fc.constantFrom(...sides),
        fc.double({ min: 1e-4, max: 100, noNaN: true }),
        fc.boolean(),
        (f, size, pace, parallel) => {
          const steps = stepsWithin(600, usualSteps(f), { firstStage: pace, diffusion: 3 * pace })
          const e = decodeExperiment(proposedDocument(named, f, { size, batch: batchFor(f.n), steps }, parallel))
          expect(E.isRight(e), JSON.stringify(e)).toBe(true)
        },
      ),
    ))

  test.each([
    [16, 'none'],
    [32, 'class'],
    [64, 'text'],
    [128, 'none'],
  ] as const)('of %i pixels, told %s, can be planned', (size, kind) => {
    const f = { n: 60, classes: 3, told: kind, words: 5 }
    const document = proposedDocument(named, f, { size, batch: batchFor(60), steps: usualSteps(f) }, true)
    const e = decodeExperiment(document)
    const plan = E.isRight(e) ? planExperiment(e.right, 3) : e
    expect(E.isRight(plan), JSON.stringify(plan)).toBe(true)
  })

  test('takes the time that is asked for, or a quarter of the usual steps', () =>
    fc.assert(
      fc.property(fc.double({ min: 1e-4, max: 10, noNaN: true }), fc.integer({ min: 1, max: 1e5 }), (pace, seconds) => {
        const usual = { firstStage: 2000, diffusion: 2400 }
        const of = { firstStage: pace, diffusion: 2 * pace }
        const steps = stepsWithin(seconds, usual, of)
        const time = steps.firstStage * of.firstStage + steps.diffusion * of.diffusion
        expect(steps.firstStage <= usual.firstStage && steps.diffusion <= usual.diffusion).toBe(true)
        if (steps.firstStage > usual.firstStage / 4) expect(time).toBeLessThanOrEqual(seconds * (1 + 1e-9))
      }),
    ))

  test('enlarges no more than half of the pictures', () => {
    expect([[40, 48, 64], [64, 200, 300], [7], [500]].map(largestSide)).toEqual([32, 128, 16, 128])
  })
})

test('the files of a project say how it is asked', () => {
  const files = projectFiles({
    ...{ name: 'mine', pictures: 'the 60 pictures in pics', time: 'about 9m', dependency: '^0.1.0', packages: {} },
    ask: { kind: 'prompt', value: "a cat's ear" },
  })
  expect(files['draw.js']).toContain(`prompt: "a cat's ear", count: 4`)
  expect(files['README.md']).toContain("--prompt 'a cat'\\''s ear' --count 4")
  expect(files['.gitignore']).toContain('runs\n')
})
