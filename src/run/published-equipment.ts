import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Checked, type Effect, effect, fail } from '../error.ts'
import type { Pipeline } from '../pipelines/request.ts'
import { E, TE } from '../prelude.ts'

/** What `sample` adds to a published model: adapters, words, a ControlNet. */

export interface Equipment {
  /** Files, each with its weight behind a colon. */
  readonly lora?: readonly string[]
  /** Whether they change the weights. */
  readonly loraMerge?: true
  /** Files, each with its word behind a colon. */
  readonly embedding?: readonly string[]
  readonly control?: string
  readonly controlConfig?: string
}

/** `style.safetensors:0.7` */
const weighted = (given: string): Checked<{ readonly path: string; readonly weight: number }> => {
  const [, path = given, text] = /^(.+):([^:/\\]+)$/.exec(given) ?? []
  const weight = text === undefined ? 1 : Number(text)
  return Number.isFinite(weight) && Math.abs(weight) <= 100
    ? E.right({ path, weight })
    : fail('usage', '--lora', 'a file, and behind a colon how much it counts', given, 'such as style.safetensors:0.7')
}

/** A file that a run has trained, where its folder is given. */
const trainedIn = (path: string, name: string): string => {
  const inside = join(path, name)
  return existsSync(inside) ? inside : path
}

/** The same; of a file that is wanted. Errors (`usage`): a folder without it. */
const fileIn = (flag: string, path: string, name: string): Checked<string> => {
  const found = trainedIn(path, name)
  return found === path && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
    ? fail('usage', flag, `a file, or the folder of a run that has trained ${name}`, path)
    : E.right(found)
}

/** The model with all that is asked for, for as long as `use` takes. Errors: `usage`, `file`, `data`. */
export const withEquipment = <A>(
  pipeline: Pipeline,
  { lora = [], loraMerge, embedding = [], control, controlConfig }: Equipment,
  use: (pipeline: Pipeline) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    const { adaptableNetworks } = await import('../pipelines/adaptable.ts')
    const { readAdapter } = await import('../adapters/index.ts')
    const { adapterFiles } = await import('../train/base.ts')
    const { withWord } = await import('../pipelines/inversions.ts')
    const { readTextualInversion } = await import('../text/textual-inversion.ts')
    const { withControlNet } = await import('../pipelines/control.ts')
    const { controlled } = await import('../pipelines/request.ts')
    const { readYaml } = await import('../pipelines/read.ts')
    const { yamlBeside } = await import('../pipelines/recognise.ts')
    if (loraMerge === true && lora.length === 0)
      return run(TE.fromEither(fail('usage', '--lora-merge', 'an adapter, --lora', 'none')))
    let equipped = pipeline
    const networks = lora.length === 0 ? [] : await run(TE.fromEither(adaptableNetworks(pipeline.document)))
    for (const given of lora) {
      const { path, weight } = await run(TE.fromEither(weighted(given)))
      const adapter = await run(
        readAdapter(await run(TE.fromEither(fileIn('--lora', path, adapterFiles.lora))), networks),
      )
      equipped = {
        ...equipped,
        adapters: [...(equipped.adapters ?? []), { adapter, weight, merge: loraMerge === true }],
      }
    }
    for (const given of embedding) {
      const [, path = given, token] = /^(.+):([^:/\\]+)$/.exec(given) ?? []
      equipped = await run(
        withWord(
          equipped,
          await run(
            readTextualInversion(await run(TE.fromEither(fileIn('--embedding', path, adapterFiles.word))), token),
          ),
        ),
      )
    }
    if (control === undefined)
      return controlConfig === undefined
        ? run(use(equipped))
        : run(TE.fromEither(fail('usage', '--control-config', 'a ControlNet, --control', 'none')))
    const beside = controlConfig ?? (await run(yamlBeside(control)))
    const yaml = beside === undefined ? undefined : await run(readYaml(beside))
    return run(
      withControlNet(
        { path: trainedIn(control, adapterFiles.control), ...(yaml === undefined ? {} : { yaml }) },
        (found) => use(controlled(equipped, found)),
      ),
    )
  })
