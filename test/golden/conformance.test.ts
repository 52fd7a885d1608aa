import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runConformance, showCase, showSummary } from '../../src/conformance/index.ts'
import { showErrors } from '../../src/error.ts'
import { executorByName } from '../../src/execute/auto.ts'
import { E, pipe, TE } from '../../src/prelude.ts'

const here = (folder: string): string => join(import.meta.dirname, folder)

const report = async (name: string, fixtures = here('fixtures')) => {
  const result = await pipe(
    executorByName(name),
    TE.flatMap((executor) => runConformance({ fixtures, executor })),
  )()
  return E.isRight(result) ? result.right : expect.unreachable(showErrors(result.left))
}

/** Cases of later issues that other tests use. */
const skipped = ['schedule/lr_schedulers.json']

describe.each(['reference', 'onnx:cpu'])('on %s', (name) => {
  test('the copied cases agree with the references', { timeout: 900_000 }, async () => {
    const { cases, ...counts } = await report(name)
    expect(counts.failed, showSummary({ cases, ...counts })).toBe(0)
    expect(counts.passed).toBeGreaterThan(90)
    expect(
      cases
        .filter(({ status }) => status === 'skipped')
        .filter(({ area, file }) => !skipped.some((prefix) => `${area}/${file}`.startsWith(prefix)))
        .map(showCase),
    ).toEqual([])
  })
})

test('a training loop with LPIPS agrees on onnx:cpu; the interpreter needs minutes for it', async () => {
  const { cases, ...counts } = await report('onnx:cpu', here('large-fixtures'))
  expect(counts, showSummary({ cases, ...counts })).toMatchObject({ passed: 1, failed: 0, skipped: 0 })
})
