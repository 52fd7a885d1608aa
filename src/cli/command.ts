import { type Command, Option } from 'commander'
import type { Effect } from '../error.ts'
import { width } from './parse.ts'
import type { Outcome, Terminal } from './terminal.ts'

/** What a command is given: where it writes, and who runs what it wants done. */
export interface Context {
  readonly terminal: Terminal
  readonly run: (command: Effect<Outcome>) => Promise<void>
  /** Runs another command line in the place of this one. */
  readonly again: (args: readonly string[]) => Promise<Outcome>
}

/** Says what a command takes and does. */
export type Register = (command: Command, context: Context) => void

/** For an option that can be given several times. */
export const several = (value: string, before: readonly string[]): readonly string[] => [...before, value]

export const setOption = ['--set <pointer=value>', 'change a field before it is checked: /sampling/steps=20'] as const

/** Which state of a run's diffusion stage is used. */
export const checkpointOption = (): Option =>
  new Option('--checkpoint <which>', 'the last state of the diffusion stage, or the best that was kept').choices([
    'last',
    'best',
  ])
export const emaOption = (): Option =>
  new Option('--ema <width>', 'an average made of the snapshots of training.postHocEma, by its relative width')
    .argParser(width)
    .conflicts('checkpoint')
