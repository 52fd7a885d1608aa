import { join } from 'node:path'
import { asArgument } from '../io/names.ts'

/** What a person types to go on with the run in a folder, with some of its settings changed. */
export const resumeCommand = (dir: string, settings: readonly string[] = []): string =>
  [
    `npx latentgraph train ${asArgument(join(dir, 'experiment.json'))} --out ${asArgument(dir)} --resume`,
    ...settings.map((setting) => `--set ${asArgument(setting)}`),
  ].join(' ')
