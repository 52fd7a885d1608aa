import { mkdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { recordPath } from '../execute/native/recorded.ts'
import { loadFrom } from '../execute/onednn/load.ts'
import { type Chosen, howToGet, inFolder, keptPath, libraryName } from '../execute/onednn/places.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { fileEffect, readBytes, sha256 } from '../io/bytes.ts'
import { withSource } from '../io/source.ts'
import { contentOf } from '../io/torch/zip.ts'
import { readDirectory } from '../io/torch/zip-directory.ts'
import { TE } from '../prelude.ts'
import type { Register } from './command.ts'
import { exitCodes } from './terminal.ts'

const refused = (at: string, expected: string, got: string): Effect<never> =>
  TE.left([failure('file', at, expected, got, howToGet)])

const makeFolder = (path: string): Effect<unknown> =>
  fileEffect(path, 'a folder that can be made', () => mkdir(path, { recursive: true }))

/** The library out of a wheel, in a file of its own among the user's data. */
const unpacked = (wheel: string): Effect<string> =>
  withSource(wheel, (source) =>
    effect(async (run) => {
      const members = await run(readDirectory(source))
      const found = members.find(({ name }) => libraryName.test(name.split('/').at(-1) ?? ''))
      if (found === undefined) return run(refused(wheel, 'a wheel with oneDNN 3', `${members.length} files without it`))
      const content = await run(contentOf(source, found))
      const path = keptPath(sha256(content))
      await run(makeFolder(dirname(path)))
      await run(writeFileAtomic(path, content))
      return path
    }),
  )

const fromFolder = (folder: string): Effect<string> =>
  effect(async (run) => {
    for (const inside of [folder, join(folder, 'lib'), join(folder, 'lib64')]) {
      const [path] = await inFolder(inside)
      if (path !== undefined) return path
    }
    return run(refused(folder, 'a folder with oneDNN 3, or its lib', 'no such library'))
  })

/** The library that a wheel, a folder or a file stands for. */
const libraryFrom = (from: string): Effect<string> =>
  effect(async (run) => {
    const path = resolve(from)
    const isFolder = await run(
      fileEffect(from, 'a wheel, a folder or a library', async () => (await stat(path)).isDirectory()),
    )
    return run(isFolder ? fromFolder(path) : /\.(whl|zip)$/.test(path) ? unpacked(path) : TE.right(path))
  })

const setUp = (from: string): Effect<Chosen> =>
  effect(async (run) => {
    const path = await run(libraryFrom(from))
    const { version } = await run(loadFrom({ path }))
    const chosen: Chosen = { path, sha256: sha256(await run(readBytes(path))), version }
    await run(makeFolder(dirname(recordPath('onednn'))))
    await run(writeFileAtomic(recordPath('onednn'), new TextEncoder().encode(`${JSON.stringify(chosen, null, 2)}\n`)))
    return chosen
  })

export const setup: Register = (program, { terminal, run }) => {
  const command = program.command('setup').description('make a library known that an executor needs')
  command
    .command('onednn')
    .description(
      'oneDNN 3, for the executor onednn: loaded once to see that it can be, then written down with its hash',
    )
    .requiredOption('--from <path>', 'a wheel of onednn-cpu-gomp, a folder with libdnnl, or the library itself')
    .addHelpText('after', `\nExample:\n  ${howToGet.replace(', then: ', '\n  ')}`)
    .action(({ from }: { readonly from: string }) =>
      run(
        effect(async (go) => {
          const { path, version } = await go(setUp(from))
          terminal.out(`oneDNN ${version} at ${path}, written down in ${recordPath('onednn')}\n`)
          return exitCodes.done
        }),
      ),
    )
}
