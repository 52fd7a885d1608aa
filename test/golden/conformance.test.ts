import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Report } from '../../src/conformance/index.ts'
import { type Workplace, workplace } from '../e2e/program.ts'

/** The compiled command: the interpreter is twice as fast as where each module's functions are looked up when they are called. */

const held: { place?: Workplace } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
beforeAll(async () => {
  held.place = await workplace()
}, 120_000)
afterAll(() => held.place?.dispose())

const report = async (executor: string, fixtures = 'fixtures'): Promise<Report & { readonly said: string }> => {
  const options = ['--fixtures', join(import.meta.dirname, fixtures), '--executor', executor, '--json', 'report.json']
  const { code, out, err } = await place().run(['conformance', ...options])
  expect(code, out + err).toBe(0)
  return { ...JSON.parse(await readFile(join(place().dir, 'report.json'), 'utf8')), said: out }
}

/** Cases of later issues that other tests use. */
const skipped = ['schedule/lr_schedulers.json']

describe.each(['reference', 'onnx:cpu'])('on %s', (name) => {
  test('the copied cases agree with the references', { timeout: 900_000 }, async () => {
    const { cases, failed, passed, said } = await report(name)
    expect(failed, said).toBe(0)
    expect(passed).toBeGreaterThan(90)
    expect(
      cases
        .filter(({ status }) => status === 'skipped')
        .filter(({ area, file }) => !skipped.some((prefix) => `${area}/${file}`.startsWith(prefix))),
      said,
    ).toEqual([])
  })
})

test('training loops with LPIPS and with actnorm agree on onnx:cpu; the interpreter needs long for them', async () => {
  const { said, ...counts } = await report('onnx:cpu', 'large-fixtures')
  expect(counts, said).toMatchObject({ passed: 2, failed: 0, skipped: 0 })
})
