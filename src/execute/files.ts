import { type Checked, collect, type Effect, effect, fail } from '../error.ts'
import { sameShape, showShape, showType, type TensorType } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Executor, FileArrays, Value, Values } from './executor.ts'
import { checkFeeds, own, type Types } from './feeds.ts'

/** Each of the arrays is for a leaf of single precision, of its shape, that is not baked in otherwise. */
export const checkFiles = (leaves: Types, files: FileArrays, constants: Values): Checked<unknown> =>
  collect(
    Object.entries(files).map(([name, { shape, path }]): Checked<unknown> => {
      const leaf: TensorType | undefined = own(leaves, name)
      if (leaf === undefined)
        return fail(
          'compile',
          name,
          'the name of a leaf',
          `none, for an array of ${path}`,
          didYouMean(name, Object.keys(leaves)),
        )
      if (Object.hasOwn(constants, name)) return fail('compile', name, 'a constant or a file', 'both')
      return leaf.dtype === 'float32' && sameShape(leaf.shape, shape)
        ? E.right(leaf)
        : fail('compile', name, showType(leaf), `numbers of ${showShape(shape)} in ${path}`)
    }),
  )

/** Reads arrays one after the other, and keeps none. */
export const checkFiniteFiles = (leaves: Types, files: FileArrays): Effect<void> =>
  effect(async (run) => {
    for (const [name, { read }] of Object.entries(files)) {
      const type = own(leaves, name)
      const values = { [name]: await run(read) }
      if (type !== undefined)
        await run(TE.fromEither(checkFeeds({ [name]: type }, values, { tag: 'compile', finite: true })))
    }
  })

export const readFiles = (files: FileArrays): Effect<Values> =>
  effect(async (run) => {
    const read: (readonly [string, Value])[] = []
    for (const [name, file] of Object.entries(files)) read.push([name, await run(file.read)])
    return Object.fromEntries(read)
  })

type Compile = Executor['compile']
/** For engines that take constants alone. */
export const readingFiles =
  (compile: Compile): Compile =>
  (graph, { files = {}, constants = {}, ...options }) =>
    pipe(
      readFiles(files),
      TE.chain((read) => compile(graph, { ...options, constants: { ...constants, ...read } })),
    )
