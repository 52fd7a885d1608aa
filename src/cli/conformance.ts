import { effect } from '../error.ts'
import { executorNames } from '../execute/names.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import type { Register } from './command.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly fixtures: string
  readonly area?: string
  readonly executor: string
  readonly json?: string
}

export const conformance: Register = (command, { terminal, run }) => {
  command
    .requiredOption('--fixtures <dir>', 'a folder with one folder an area')
    .option('--area <name>', 'one area; all where left out')
    .option('--executor <name>', executorNames.join(', '), 'onnx:cpu')
    .option('--json <file>', 'also write the report as JSON')
    .action((options: Options) =>
      run(
        effect(async (go) => {
          const { executorByName } = await import('../execute/auto.ts')
          const { ready } = await import('../execute/ready.ts')
          const { runConformance, showCase, showSummary } = await import('../conformance/index.ts')
          const { fixtures, area, json } = options
          const executor = await go(ready(await go(executorByName(options.executor))))
          const onCase = (report: Parameters<typeof showCase>[0]) => () => terminal.out(`${showCase(report)}\n`)
          const report = await go(runConformance({ fixtures, area, executor, onCase }))
          if (json !== undefined)
            await go(writeFileAtomic(json, new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`)))
          terminal.out(`${showSummary(report)}\n`)
          return report.failed === 0 ? exitCodes.done : exitCodes.failed
        }),
      ),
    )
}
