import { existsSync } from 'node:fs'
import { readdir, realpath } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import { asArgument, byCodePoint } from '../io/names.ts'
import { E } from '../prelude.ts'
import type { Terminal } from './terminal.ts'

/** Pictures from prompts, by the models that come in a package of their own. */

const packageName = 'latentgraph-models'

/** The models, and by what they are shown. */
const shown = {
  shapes: [
    'a red circle left of a blue square',
    'three green triangles',
    'a purple cross above a yellow circle',
    'a blue circle and a red triangle',
  ],
  'emoji-by-name': ['smiling cat face with open mouth', 'slice of pizza', 'dog face', 'penguin'],
} as const satisfies Readonly<Record<string, readonly string[]>>

const count = 8

const packageFolder = (): string | undefined => {
  const found = E.tryCatch(
    () => dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)),
    () => undefined,
  )
  return E.isRight(found) ? found.right : undefined
}

/** The models that are installed, each with prompts to try. */
export const shippedModels = async (): Promise<
  readonly { readonly run: string; readonly examples: readonly string[] }[]
> => {
  const folder = packageFolder()
  if (folder === undefined) return []
  const entries = await readdir(folder, { withFileTypes: true })
  return entries
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'experiment.json')))
    .map(({ name }) => ({
      run: join(folder, name),
      examples: Object.entries(shown).find(([model]) => model === name)?.[1] ?? [],
    }))
    .toSorted((a, b) => byCodePoint(a.run, b.run))
}

/** Prompts to try of a folder; none where it is no model that is installed. */
export const promptsFor = async (dir: string): Promise<readonly string[]> => {
  const real = await realpath(dir)
  for (const { run, examples } of await shippedModels()) if ((await realpath(run)) === real) return examples
  return []
}

/** A row of pictures for each prompt, below a folder. */
const showModel = (dir: string, prompts: readonly string[], path: string, executor: Executor): Effect<void> =>
  effect(async (run) => {
    const { openRun } = await import('../run/trained-run.ts')
    const { requestedOf } = await import('../run/asked.ts')
    const { fromFiles } = await import('../run/from-files.ts')
    const { drawPictures } = await import('../train/drawing.ts')
    const { writePictures } = await import('../train/pictures.ts')
    const trained = await run(openRun(dir))
    const { experiment: e, model, scale } = trained
    const { asked } = await run(requestedOf(fromFiles, trained, { prompt: prompts }, count))
    const pictures = await run(
      drawPictures(
        executor,
        { model, stage: e.firstStage },
        { firstStage: trained.firstStage, diffusion: trained.diffusion },
        { ...asked, seed: e.seed, sampling: e.sampling, scale },
      ),
    )
    await run(writePictures(path, pictures, { columns: count, seed: e.seed }))
  })

/** Draws by the models that come with the package, before anything is trained; says so where they are not installed. */
export const showModels = (to: string, executor: Executor, { err }: Terminal): Effect<void> =>
  effect(async (run) => {
    const folder = packageFolder()
    if (folder === undefined)
      return err(`${packageName} is not installed: no pictures from prompts are shown before training\n`)
    for (const [name, prompts] of Object.entries(shown)) {
      const path = join(to, `${name}.png`)
      await run(showModel(join(folder, name), prompts, path, executor))
      err(`${path}: a row each of ${prompts.map((prompt) => `"${prompt}"`).join(', ')}\n`)
    }
    err(
      `Draw your own: npx latentgraph sample ${asArgument(join(folder, 'shapes'))} --prompt "two yellow crosses" --out mine.png\n\n`,
    )
  })
