import { access, mkdir, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import type { Survey } from '../data/survey.ts'
import { type Effect, effect, fail } from '../error.ts'
import { type Side, sides } from '../experiment/proposal.ts'
import { inTemporaryFolder } from '../io/atomic.ts'
import { fileEffect } from '../io/bytes.ts'
import { asArgument, isPlainName } from '../io/names.ts'
import { packageFile, partPackages, version } from '../package.ts'
import { E, TE } from '../prelude.ts'
import type { Proposed } from '../run/proposed.ts'
import { showDuration } from '../train/progress.ts'
import { isStop } from '../train/stop.ts'
import type { Register } from './command.ts'
import { notNegative } from './parse.ts'
import { type Project, projectFiles } from './project-files.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

interface Options {
  readonly pictures?: string
  readonly minutes: number
  readonly size?: Side
}

const sideOf = (text: string): Side => {
  const side = sides.find((one) => String(one) === text)
  if (side === undefined) throw new InvalidArgumentError(`Expected ${sides.join(' | ')}.`)
  return side
}

const slashes = (path: string): string => path.split('\\').join('/')
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** A folder that can be made. Errors: `usage`. */
const vacant = (folder: string): Effect<string> =>
  effect(async (run) => {
    const name = basename(resolve(folder))
    if (!isPlainName(name))
      return run(TE.fromEither(fail('usage', '<name>', 'a name of letters, digits, ., _ and -', name)))
    if (await exists(folder))
      return run(TE.fromEither(fail('usage', '<name>', 'a folder that is not there yet', folder)))
    return name
  })

/** Whether a program in a folder finds this package. */
const findsPackage = (folder: string): boolean =>
  E.isRight(
    E.tryCatch(
      () => createRequire(join(resolve(folder), 'any.js')).resolve('latentgraph/package.json'),
      () => undefined,
    ),
  )

/** How a project in a folder names this package: by its version, or where it lies if nobody installed it. */
const dependencyIn = (folder: string): string => {
  const own = packageFile()
  return slashes(own).includes('/node_modules/') ? `^${version()}` : `file:${slashes(relative(resolve(folder), own))}`
}

const mostClasses = 6
const rangeOf = (numbers: readonly number[]): string => {
  const [least, most] = [numbers[0] ?? 0, numbers.at(-1) ?? 0]
  return least === most ? `${least}` : `${least} to ${most}`
}
/** What was found, for people. */
const foundIn = (dir: string, { n, classes, classless, captions, shorter, longer }: Survey): readonly string[] => {
  const some = classes.slice(0, mostClasses).map(([name, count]) => `${name} ${count}`)
  const others = classes.length - some.length
  const listed = [...some, ...(others > 0 ? [`${others} more`] : [])].join(', ')
  return [
    `${n} pictures in ${dir}, shorter sides of ${rangeOf(shorter)} pixels, longer ones of ${rangeOf(longer)}`,
    classes.length === 0
      ? 'classes: none (a folder a class, or metadata.jsonl, would tell them)'
      : `${classes.length} classes: ${listed}${classless === 0 ? '' : `; ${classless} pictures of none`}`,
    captions.length === 0
      ? 'captions: none (metadata.jsonl would have them)'
      : `captions: of ${captions.length === n ? 'all' : captions.length}, such as ${JSON.stringify(captions[0])}`,
  ]
}

const told = { none: 'nothing', class: 'their classes', text: 'their captions' }
const seconds = (s: number): string => `${Number(s.toPrecision(2))} s`
/** What is proposed, for people. */
const proposal = ({ facts, choice, executor, pace, seconds: all }: Proposed, asked: number): readonly string[] => [
  `proposed: pictures of ${choice.size}x${choice.size}; the model is told ${told[facts.told]}`,
  `  first stage  ${choice.steps.firstStage} steps, ${seconds(pace.firstStage)} each here`,
  `  diffusion    ${choice.steps.diffusion} steps of ${choice.batch} pictures, ${seconds(pace.diffusion)} each here`,
  `  training takes about ${showDuration(all)} on ${executor}${all > asked ? ': longer than asked for, as fewer steps learn too little' : ''}`,
]

const askOf = ({ facts, survey }: Proposed): Project['ask'] => {
  const value = facts.told === 'class' ? survey?.classes[0]?.[0] : (survey?.captions[0] ?? 'a red circle')
  return facts.told === 'none' || value === undefined
    ? undefined
    : { kind: facts.told === 'class' ? 'class' : 'prompt', value }
}

/** Writes a folder whole, or not at all. Errors: `file`. */
const written = (folder: string, files: Readonly<Record<string, string>>): Effect<void> =>
  fileEffect(folder, 'a folder that can be made', async () => {
    await mkdir(dirname(resolve(folder)), { recursive: true })
    await inTemporaryFolder(folder, async (temporary) => {
      for (const [name, text] of Object.entries(files)) await writeFile(join(temporary, name), text, { flag: 'wx' })
      await rename(temporary, folder)
    })
  })

const made = (folder: string, { pictures, minutes, size }: Options, terminal: Terminal): Effect<Outcome> =>
  effect(async (run) => {
    const name = await run(vacant(folder))
    const say = (line: string): void => terminal.err(`${line}\n`)
    const here = findsPackage('.')
    const schemaIn = here ? relative(resolve(folder), packageFile('graphs')) : 'node_modules/latentgraph/graphs'
    const stop = stopOnSignals(() => say('stopping; once more to stop at once'))
    try {
      const { proposed } = await import('../run/proposed.ts')
      const tried = await proposed({
        ...{ name, pictures, size, say, stopping: stop.requested },
        schema: `${schemaIn.startsWith('.') ? '' : './'}${slashes(schemaIn)}/experiment.schema.json`,
        seconds: 60 * minutes,
      })()
      if (E.isLeft(tried) && isStop(tried.left)) {
        say('stopped; nothing was written')
        return stop.exitCode()
      }
      const found = await run(TE.fromEither(tried))
      const { survey } = found
      if (survey !== undefined && pictures !== undefined) for (const line of foundIn(pictures, survey)) say(line)
      for (const line of proposal(found, 60 * minutes)) say(line)
      const files = projectFiles({
        name,
        pictures: survey === undefined ? 'generated shapes' : `the ${survey.n} pictures in ${pictures}`,
        time: `about ${showDuration(found.seconds)} where this was made`,
        ask: askOf(found),
        dependency: dependencyIn(folder),
        packages: partPackages(),
      })
      const data =
        pictures === undefined
          ? { kind: 'shapes' }
          : { kind: 'folder', path: slashes(relative(resolve(folder), resolve(pictures))) }
      const experiment = `${JSON.stringify(found.document(data), null, 2)}\n`
      await run(written(folder, { [`${name}.json`]: experiment, ...files }))
      say(`made ${folder}: ${[`${name}.json`, ...Object.keys(files)].join(', ')}. Next:`)
      const [file, out] = [join(folder, `${name}.json`), join(folder, 'runs', name)].map(asArgument)
      terminal.out(
        here
          ? `npx latentgraph train ${file} --out ${out}\n`
          : `cd ${asArgument(folder)} && npm install && npm run train\n`,
      )
      return exitCodes.done
    } finally {
      stop.dispose()
    }
  })

export const create: Register = (command, { terminal, run }) => {
  command
    .argument('<name>', 'the folder that is made, and how the model is called')
    .option('--pictures <dir>', 'a folder a class, or with metadata.jsonl; generated shapes where left out')
    .option('--minutes <n>', 'what training is to take here at most', notNegative, 10)
    .option('--size <pixels>', `${sides.join(', ')}; what the pictures and the time allow where left out`, sideOf)
    .addHelpText('after', '\nExample:\n  latentgraph new my-model --pictures ../my-pictures')
    .action((name: string, options: Options) => run(made(name, options, terminal)))
}
