import { type Checked, collect, fail } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import type { TorchTensors } from './stored.ts'
import { describe, isKind, quoted, type TorchTensor, type TorchValue } from './values.ts'

const entry =
  (path: string) =>
  ([name, value]: readonly [TorchValue, TorchValue]): Checked<readonly [string, TorchTensor]> => {
    if (typeof name !== 'string') return fail('file', path, 'names of tensors', describe(name))
    return isKind('tensor')(value)
      ? E.right([name, value])
      : fail('file', `${path}: ${quoted(name)}`, 'a tensor', describe(value))
  }

/**
 * The tensors of a model by name: `state_dict` of what Lightning and the published trainers save, or the dictionary of
 * tensors that the file is. Errors: `file`, one for each entry that is no tensor.
 */
export const stateDict = (value: TorchValue, path: string): Checked<TorchTensors> => {
  const inner = isKind('dict')(value) ? value.entries.get('state_dict') : undefined
  const found = inner === undefined || isKind('tensor')(inner) ? value : inner
  return isKind('dict')(found)
    ? pipe(
        collect([...found.entries].map(entry(path))),
        E.map((entries) => Object.fromEntries(entries)),
      )
    : fail('file', path, 'a dictionary of tensors, by itself or as state_dict', describe(found))
}
