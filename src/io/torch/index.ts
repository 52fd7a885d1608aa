import type { Checked, Effect } from '../../error.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { type Source, withSource } from '../source.ts'
import type { StoredArrays, UnreadArrays } from '../stored.ts'
import { openLegacy } from './legacy.ts'
import { stateDict } from './state-dict.ts'
import { checkStorages, readTensors, type TorchContent, type TorchTensors, unreadTensors } from './stored.ts'
import type { TorchValue } from './values.ts'
import { openZip } from './zip.ts'

export { stateDict } from './state-dict.ts'
export type { TorchTensors } from './stored.ts'
export * from './values.ts'

/** Chooses the tensors to read. */
export type Pick = (value: TorchValue, path: string) => Checked<TorchTensors>

const zipBegins = [0x50, 0x4b]

const opened = (source: Source): Effect<TorchContent> =>
  pipe(
    source.read(0, Math.min(source.size, zipBegins.length)),
    TE.flatMap((first) => (zipBegins.every((byte, i) => first[i] === byte) ? openZip(source) : openLegacy(source))),
  )

/** Everything but the tensors' data is read and checked. */
const checked = (source: Source): Effect<TorchContent> =>
  pipe(
    opened(source),
    TE.tap((content) => TE.fromEither(checkStorages(content))),
  )

/** As `readTorch`; of the tensors that are picked, each is read when it is asked for. Errors: `file`. */
export const openTorch = (source: Source, pick: Pick = stateDict): Effect<UnreadArrays> =>
  pipe(
    checked(source),
    TE.flatMapEither((content) =>
      pipe(
        pick(content.value, source.path),
        E.flatMap((tensors) => unreadTensors(content, tensors)),
      ),
    ),
  )

/**
 * Reads tensors of a file of `torch.save`, zip or legacy, and executes nothing of it. The whole file's structure is
 * checked first, then only the tensors that are picked are read. float16 and bfloat16 widen to float32, small integers
 * to int32. Limits: 256 MiB of pickle; what a single storage holds must fit one array of the JavaScript engine (4 GiB in
 * Node 20). Errors: `file`.
 *
 * ```ts
 * await readTorch('model.ckpt')() // { 'encoder.conv_in.weight': { dtype: 'float32', shape: [128, 3, 3, 3], data } }
 * ```
 */
export const readTorch = (path: string, pick: Pick = stateDict): Effect<StoredArrays> =>
  withSource(path, (source) =>
    pipe(
      checked(source),
      TE.flatMap((content) =>
        pipe(
          TE.fromEither(pick(content.value, path)),
          TE.flatMap((tensors) => readTensors(content, tensors)),
        ),
      ),
    ),
  )
