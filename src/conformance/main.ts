import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { type Effect, fail, showErrors } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import { onnx } from '../execute/onnx/index.ts'
import { reference } from '../execute/reference/index.ts'
import { fileEffect } from '../io/bytes.ts'
import { pipe, TE } from '../prelude.ts'
import { type Report, runConformance, showCase, showSummary } from './index.ts'

const executors: Readonly<Record<string, Executor>> = {
  reference,
  'onnx:cpu': onnx('cpu'),
  'onnx:webgpu': onnx('webgpu'),
}

const say = (line: string) => () => {
  process.stdout.write(`${line}\n`)
}

const save = (report: Report, path: string | undefined): Effect<unknown> =>
  path === undefined
    ? TE.right(undefined)
    : fileEffect(path, 'a file that can be written', () => writeFile(path, `${JSON.stringify(report, null, 2)}\n`))

const run = (): Effect<Report> => {
  const { values } = parseArgs({
    options: {
      fixtures: { type: 'string' },
      area: { type: 'string' },
      executor: { type: 'string', default: 'onnx:cpu' },
      json: { type: 'string' },
    },
  })
  const { fixtures, area, json } = values
  const executor = executors[values.executor]
  if (fixtures === undefined || executor === undefined)
    return TE.fromEither(
      fixtures === undefined
        ? fail('usage', '--fixtures', 'a folder', 'nothing')
        : fail('usage', '--executor', Object.keys(executors).join(' | '), values.executor),
    )
  return pipe(
    runConformance({ fixtures, area, executor, onCase: (report) => say(showCase(report)) }),
    TE.tapIO((report) => say(showSummary(report))),
    TE.tap((report) => save(report, json)),
  )
}

const result = await run()()
if (result._tag === 'Left') process.stderr.write(`${showErrors(result.left)}\n`)
process.exitCode = result._tag === 'Right' && result.right.failed === 0 ? 0 : 1
