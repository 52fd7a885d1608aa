import { existsSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { type Effect, effect, failure, type LatentError } from '../error.ts'
import { filesBelow } from '../execute/native/below.ts'
import { hashOf, recorded, recordPath } from '../execute/native/recorded.ts'
import { loadFrom } from '../execute/onednn/load.ts'
import * as dnnl from '../execute/onednn/places.ts'
import { build } from '../execute/tensorflow/build.ts'
import * as tensorflow from '../execute/tensorflow/places.ts'
import * as plugins from '../execute/xla/places.ts'
import { loadFrom as loadPlugin } from '../execute/xla/plugin.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { fileEffect, sha256 } from '../io/bytes.ts'
import { withSource } from '../io/source.ts'
import { contentOf } from '../io/torch/zip.ts'
import { readDirectory } from '../io/torch/zip-directory.ts'
import { E, RNEA, TE } from '../prelude.ts'
import type { Register } from './command.ts'
import { makeFolder, written } from './record.ts'
import { exitCodes } from './terminal.ts'

/** How the library of an engine is found: what it is, names of its files, and how to come by it. */
interface Wanted {
  readonly what: string
  readonly howToGet: string
  readonly isLibrary: (name: string) => boolean
  /** How deep in a folder it is looked for. */
  readonly depth: number
  /** Where it is kept if it came out of a wheel. */
  readonly kept: (name: string, sha256: string) => string
}
const oneDnn: Wanted = {
  what: 'oneDNN 3',
  howToGet: dnnl.howToGet,
  isLibrary: (name) => dnnl.libraryName.test(name),
  // As it lies in a wheel that was unpacked: NAME.data/data/lib.
  depth: 3,
  kept: (_, hash) => dnnl.keptPath(hash),
}
const pjrt: Wanted = {
  what: 'a PJRT plugin',
  howToGet: plugins.howToGet,
  isLibrary: plugins.isPlugin,
  // In packages of Python.
  depth: 2,
  kept: (name, hash) => plugins.keptPath(plugins.platformOf(name) ?? 'other', hash),
}

const refused = (at: string, expected: string, got: string, { howToGet }: Wanted): Effect<never> =>
  TE.left([failure('file', at, expected, got, howToGet)])

/** A library out of a wheel, in a file of its own. */
interface Unpacked {
  /** In the wheel. */
  readonly name: string
  readonly path: string
  readonly isNew: boolean
}
/** The library out of a wheel, among the user's data. */
const unpacked = (wheel: string, wanted: Wanted): Effect<Unpacked> =>
  withSource(wheel, (source) =>
    effect(async (run) => {
      const members = await run(readDirectory(source))
      const nameOf = (path: string): string => path.split('/').at(-1) ?? ''
      const found = members.find(({ name }) => wanted.isLibrary(nameOf(name)))
      if (found === undefined)
        return run(refused(wheel, `a wheel with ${wanted.what}`, `${members.length} files without it`, wanted))
      const content = await run(contentOf(source, found))
      const path = wanted.kept(nameOf(found.name), sha256(content))
      await run(makeFolder(dirname(path)))
      const isNew = !existsSync(path)
      await run(writeFileAtomic(path, content))
      return { name: found.name, path, isNew }
    }),
  )

const fromFolder = (folder: string, wanted: Wanted): Effect<readonly string[]> =>
  effect(async (run) => {
    const found = await filesBelow(folder, wanted.isLibrary, wanted.depth)
    return found.length > 0 ? found : run(refused(folder, `a folder with ${wanted.what}`, 'no such library', wanted))
  })

/**
 * Uses the libraries that a wheel, a folder or a file stands for, the preferred one first. What came out of a wheel and cannot be used is not
 * kept.
 */
const withLibraries = <A>(from: string, wanted: Wanted, use: (paths: readonly string[]) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const path = resolve(from)
    const isFolder = await run(
      fileEffect(from, 'a wheel, a folder or a library', async () => (await stat(path)).isDirectory()),
    )
    if (isFolder) return run(use(await run(fromFolder(path, wanted))))
    if (!/\.(whl|zip)$/.test(path)) return run(use([path]))
    const { name, path: kept, isNew } = await run(unpacked(path, wanted))
    const used = await use([kept])()
    if (E.isLeft(used) && isNew) await rm(kept, { force: true })
    const named = (e: LatentError): LatentError => (e.at === kept ? { ...e, at: `${from}: ${name}` } : e)
    return run(TE.fromEither(E.mapLeft(RNEA.map(named))(used)))
  })

const setUpOneDnn = (from: string): Effect<string> =>
  withLibraries(from, oneDnn, ([path = '']) =>
    effect(async (run) => {
      const { version } = await run(loadFrom({ path }))
      const chosen: dnnl.Chosen = { path, sha256: await run(hashOf(path, dnnl.howToGet)), version }
      await run(written('onednn', chosen))
      return `oneDNN ${version} at ${path}`
    }),
  )

/** Plugins of platforms that were not named this time stay. */
const setUpPlugins = (from: string): Effect<string> =>
  withLibraries(from, pjrt, (paths) =>
    effect(async (run) => {
      const before = (await run(recorded('xla', plugins.chosen)))?.plugins ?? []
      const found: plugins.Chosen['plugins'][number][] = []
      for (const path of paths) {
        const { version } = await run(loadPlugin({ path }))
        const platform = plugins.platformOf(path)
        if (platform === undefined)
          return run(refused(path, `a name with one of ${plugins.platforms.join(', ')}`, basename(path), pjrt))
        found.push({ platform, path, sha256: await run(hashOf(path, plugins.howToGet)), version })
      }
      const kept = before.filter(({ platform }) => found.every((p) => p.platform !== platform))
      await run(written('xla', { plugins: [...found, ...kept] }))
      return found.map(({ platform, path, version }) => `xla:${platform}, PJRT ${version}, at ${path}`).join('\n')
    }),
  )

const setUpTensorflow = (from: string, { gpu: wanted = false }: Options): Effect<string> =>
  effect(async (run) => {
    const { path, library, version, gpu } = await run(build(from))
    if (wanted && !gpu)
      await run(
        TE.left([
          failure(
            'compile',
            library,
            'a TensorFlow that sees a GPU',
            `TensorFlow ${version} on the CPU`,
            tensorflow.howToGetGpu,
          ),
        ]),
      )
    const chosen: tensorflow.Chosen = {
      path,
      sha256: await run(hashOf(path, tensorflow.howToGet)),
      version,
      library,
      gpu,
    }
    await run(written('tensorflow', chosen))
    return `TensorFlow ${version} on ${gpu ? 'a GPU through CUDA' : 'the CPU'}, of ${library}, through ${path}`
  })

interface Options {
  readonly gpu?: boolean
}
const engines: readonly {
  readonly name: string
  readonly description: string
  readonly from: string
  readonly howToGet: string
  readonly flags?: readonly (readonly [flag: string, description: string])[]
  readonly setUp: (from: string, options: Options) => Effect<string>
}[] = [
  {
    name: 'onednn',
    description:
      'oneDNN 3, for the executor onednn: loaded once to see that it can be, then written down with its hash',
    from: 'a wheel of onednn-cpu-gomp, a folder with libdnnl, or the library itself',
    howToGet: dnnl.howToGet,
    setUp: setUpOneDnn,
  },
  {
    name: 'xla',
    description:
      'PJRT plugins of XLA, for the executors xla:*: each loaded once to see that it can be, then written down with its hash',
    from: 'a folder of Python packages with plugins (site-packages), a wheel that holds one, or the plugin itself',
    howToGet: plugins.howToGet,
    setUp: setUpPlugins,
  },
  {
    name: 'tensorflow',
    description:
      'TensorFlow, for the executors tfjs:node and tfjs:node-gpu: the addon of tfjs-node is built against it, loaded once, then written down with its hash',
    from: 'a virtual environment with TensorFlow, or a folder of Python packages (site-packages, or of pip install --target)',
    howToGet: tensorflow.howToGet,
    flags: [['--gpu', 'an error where TensorFlow sees no GPU']],
    setUp: setUpTensorflow,
  },
]

export const setup: Register = (command, { terminal, run }) => {
  for (const { name, description, from: what, howToGet, flags = [], setUp } of engines) {
    const own = command.command(name).description(description).requiredOption('--from <path>', what)
    for (const [flag, says] of flags) own.option(flag, says)
    own
      .addHelpText('after', `\nExample:\n  ${howToGet.replace(', then: ', '\n  ')}`)
      .action(({ from, ...options }: Options & { readonly from: string }) =>
        run(
          effect(async (go) => {
            const found = await go(setUp(from, options))
            terminal.out(`${found}\nwritten down in ${recordPath(name)}\n`)
            return exitCodes.done
          }),
        ),
      )
  }
}
