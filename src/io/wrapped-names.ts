/**
 * Parts of names under which PyTorch keeps a model that it has wrapped: `torch.compile` (`_orig_mod`), DataParallel, DistributedDataParallel
 * and AveragedModel (`module`), FullyShardedDataParallel, activation checkpoints, Lightning Fabric, Opacus.
 */
const wrappers: ReadonlySet<string> = new Set([
  '_orig_mod',
  'module',
  '_fsdp_wrapped_module',
  '_checkpoint_wrapped_module',
  '_forward_module',
  '_module',
])

/** A name as it is without wrappers. Averages are named without dots; the one part of those that nothing else has goes too. */
export const unwrappedName = (name: string): string => {
  const parts = name.split('.')
  return parts
    .filter((part, i) => i === parts.length - 1 || !wrappers.has(part))
    .join('.')
    .replaceAll('_orig_mod', '')
}

export interface Unwrapped<A> {
  readonly arrays: Readonly<Record<string, A>>
  /** Which parts were stripped, and off how many names. */
  readonly stripped: ReadonlyMap<string, number>
}

const strippedOf = (name: string): readonly string[] =>
  name.split('.').filter((part, i, parts) => (i < parts.length - 1 && wrappers.has(part)) || part.includes('_orig_mod'))

/**
 * Arrays by their names without wrappers. A name stays as it is where another array has the stripped one.
 *
 * ```ts
 * unwrapped({ 'module._orig_mod.out.weight': w }).arrays // { 'out.weight': w }
 * ```
 */
export const unwrapped = <A>(found: Readonly<Record<string, A>>): Unwrapped<A> => {
  const names = Object.keys(found)
  const takers = new Map<string, number>()
  for (const name of names) takers.set(unwrappedName(name), (takers.get(unwrappedName(name)) ?? 0) + 1)
  const renames = names.filter((name) => unwrappedName(name) !== name && takers.get(unwrappedName(name)) === 1)
  const renamed = new Set(renames)
  const stripped = new Map<string, number>()
  for (const part of renames.flatMap((name) => [...new Set(strippedOf(name).map(wrapperIn))]))
    stripped.set(part, (stripped.get(part) ?? 0) + 1)
  return {
    arrays: Object.fromEntries(
      Object.entries(found).map(([name, array]) => [renamed.has(name) ? unwrappedName(name) : name, array]),
    ),
    stripped,
  }
}

const wrapperIn = (part: string): string => (wrappers.has(part) ? part : '_orig_mod')
