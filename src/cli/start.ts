import { effect } from '../error.ts'
import { loadExperiment } from '../experiment/load.ts'
import { packageFile } from '../io/package.ts'
import { type Register, setOption, several } from './command.ts'
import { inRunFolder } from './run-folder.ts'

interface Options {
  readonly set: readonly string[]
}

/** The main job: emoji, in ten to seventeen minutes on two cores. */
export const start: Register = (program, { terminal, run }) => {
  program
    .command('start')
    .description('the main job: train on 1,536 emoji, ten to seventeen minutes on two cores, and look at the result')
    .option(...setOption, several, [])
    .action(({ set }: Options) =>
      run(
        effect(async (go) => {
          const file = packageFile('graphs', 'emoji.json')
          const experiment = await go(loadExperiment(file, set))
          const { trainSession } = await import('./session.ts')
          return go(
            inRunFolder({ file, resume: false }, (owned) =>
              trainSession({ experiment, owned, resume: false }, terminal),
            ),
          )
        }),
      ),
    )
}
