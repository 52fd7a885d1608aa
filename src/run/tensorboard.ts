import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { effect } from '../error.ts'
import { fileEffect, readBytes } from '../io/bytes.ts'
import { anew, beginning, image, scalars } from '../io/tensorboard.ts'
import type { Sink, StageName } from '../train/events.ts'

/**
 * What a run tells, in files that TensorBoard reads: a folder a stage, so that each is a run of its own there. Numbers of steps and of
 * validations are scalars, previews images; steps that are done again replace those that were told. Errors: `file`.
 *
 * @example
 * train('graphs/shapes.json', { out: 'runs/shapes', sinks: [tensorboard('runs/shapes/tensorboard')] }) // tensorboard --logdir runs
 */
export const tensorboard = (folder: string): Sink => {
  const files = new Map<StageName, string>()
  return (event) =>
    effect(async (run) => {
      if (!('stage' in event)) return
      const { stage } = event
      const time = Date.now() / 1000
      const step = 'step' in event ? event.step : event.kind === 'stage' ? event.done : 0
      const at = { time, step }
      const path =
        files.get(stage) ?? join(folder, stage, `events.out.tfevents.${Math.floor(time)}.latentgraph.${process.pid}`)
      const write = (...records: readonly Uint8Array[]): Promise<void> =>
        run(fileEffect(path, 'a file that can be written', () => appendFile(path, Buffer.concat(records))))
      if (!files.has(stage)) {
        files.set(stage, path)
        await run(fileEffect(path, 'a folder that can be made', () => mkdir(join(folder, stage), { recursive: true })))
        await write(beginning(at))
      }
      if (event.kind === 'stage' && event.done > 0) await write(anew({ time, step: event.done + 1 }))
      if (event.kind === 'rewound') await write(anew({ time, step: step + 1 }))
      if (event.kind === 'step' || event.kind === 'validation') await write(scalars(at, event.metrics))
      if (event.kind === 'preview')
        for (const [i, file] of event.files.entries())
          await write(image(at, event.files.length === 1 ? 'preview' : `preview/${i + 1}`, await run(readBytes(file))))
    })
}
