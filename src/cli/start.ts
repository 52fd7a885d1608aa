import { join } from 'node:path'
import { effect } from '../error.ts'
import { loadExperiment } from '../experiment/load.ts'
import { asArgument } from '../io/names.ts'
import { packageFile } from '../package.ts'
import { inRunFolder } from '../run/run-folder.ts'
import { type Register, setOption, several } from './command.ts'

interface Options {
  readonly set: readonly string[]
}

/** The main job: pictures from prompts by the models that come along, then emoji, in ten to seventeen minutes on two cores. */
export const start: Register = (command, { terminal, run }) => {
  command.option(...setOption, several, []).action(({ set }: Options) =>
    run(
      effect(async (go) => {
        const file = packageFile('graphs', 'emoji.json')
        const experiment = await go(loadExperiment(file, set))
        const { chooseExecutor } = await import('../execute/choose.ts')
        const { trainSession } = await import('./session.ts')
        const { showModels } = await import('./shown-models.ts')
        const command = (): string => ['start', ...set.map((s) => `--set ${asArgument(s)}`)].join(' ')
        return go(
          inRunFolder({ file, resume: false }, (owned) =>
            effect(async (within) => {
              const { executor } = await within(chooseExecutor(experiment.executor))
              await within(showModels(join(owned.dir, 'from-prompts'), executor, terminal))
              return within(trainSession({ experiment, owned, resume: false, command }, terminal))
            }),
          ),
        )
      }),
    ),
  )
}
