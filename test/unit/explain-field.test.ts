import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { experiment } from '../../src/experiment/document.ts'
import { explainExperiment } from '../../src/experiment/explain.ts'
import { placedFields } from '../../src/experiment/properties.ts'
import { referencePage } from '../../src/experiment/reference-page.ts'
import { tuning } from '../../src/experiment/tuning.ts'
import { E } from '../../src/prelude.ts'

const said = (asked: string): string => {
  const found = explainExperiment(asked)
  return E.isRight(found) ? found.right : `${found.left[0].at}: ${found.left[0].hint}`
}

describe('explain', () => {
  test.each<readonly [string, readonly string[]]>([
    ['/diffusion/schedule/kind', ['"cosine": ', '"flow": ', '(Nichol and Dhariwal 2021)']],
    [
      '/diffusion/schedule/betaStart',
      ['a number in [1e-10, 1); 0.0001 where left out', 'of "linear", "scaled-linear"'],
    ],
    ['/diffusion/conditioning/encoders/0/tokens/size', ['How many ids there are.']],
    ['/firstStage/training/learningRate/cycles/3/peak', ['1 where left out']],
    ['guidance', ['/sampling/guidance\n', 'example: "guidance": 4']],
    ['min-snr', ['"min-snr" at /diffusion/weighting/kind', 'Hang et al.']],
    ['/diffusion/shedule', ['did you mean "schedule"?']],
    ['guidnce', ['nearest: guidance']],
    ['', ['An experiment:', 'firstStage (required)', 'What is trained beside a model:']],
  ])('%s', (asked, parts) => {
    for (const part of parts) expect(said(asked)).toContain(part)
  })
  test('finds every field by its pointer, with its sentence', () => {
    const lost = [experiment.json, tuning.json]
      .flatMap((json) => placedFields(json))
      .filter(({ pointer, field }) => !said(pointer).includes(field.sentence))
    expect(lost.map(({ pointer }) => pointer)).toEqual([])
  })
})

describe('the reference', () => {
  test('is the one that is committed (npm run reference)', async () =>
    expect(await readFile(new URL('../../docs/reference/experiment.md', import.meta.url), 'utf8')).toBe(
      referencePage(),
    ))
  test('has a row for every field, and all its links lead somewhere', () => {
    const page = referencePage()
    const rows = page.split('\n').filter((line) => line.startsWith('| `'))
    const bare = (text: string): string => text.replaceAll('\\', '')
    const lost = [experiment.json, tuning.json]
      .flatMap((json) => placedFields(json))
      .filter(
        ({ field: { name, sentence } }) => !rows.some((row) => bare(row).startsWith(`| \`${name}\` | ${sentence}`)),
      )
    expect(lost.map(({ pointer }) => pointer)).toEqual([])
    const anchors = [...page.matchAll(/^### (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    )
    const links = [...page.matchAll(/\]\(#([^)]*)\)/g)].map(([, link = '']) => link)
    expect(links.filter((link) => !anchors.includes(link))).toEqual([])
  })
})
