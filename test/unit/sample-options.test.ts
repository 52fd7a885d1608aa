import { expect, test } from 'vitest'
import tiny from '../../graphs/tiny.json' with { type: 'json' }
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { E } from '../../src/prelude.ts'
import { type SamplingOptions, withSampling } from '../../src/run/sample-options.ts'
import { right } from './diffusion-fixtures.ts'

/** What `sample` says is wrong is said in its own options, and following the hint mends it. */

const trained = right(decodeExperiment(tiny))
const unconditional = right(
  decodeExperiment({
    ...tiny,
    diffusion: { ...tiny.diffusion, conditioning: { kind: 'none' } },
    sampling: { ...tiny.sampling, guidance: 1 },
  }),
)

test.each<readonly [typeof trained, SamplingOptions, string, string, SamplingOptions]>([
  [trained, { steps: 2000 }, '--steps', '--steps 100', { steps: 100 }],
  [trained, { spacing: 'uniform', steps: 77 }, '--steps', '--spacing trailing', { spacing: 'trailing', steps: 77 }],
  [unconditional, { guidance: 3 }, '--guidance', '--guidance 1, or train with --set', { guidance: 1 }],
])('%#', (experiment, asked, at, hint, instead) => {
  const refused = withSampling(experiment, asked)
  expect(refused).toMatchObject({ left: [{ tag: 'usage', at, hint: expect.stringContaining(hint) }] })
  expect(E.isRight(withSampling(experiment, instead))).toBe(true)
})
