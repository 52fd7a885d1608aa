import { Buffer } from 'node:buffer'
import { E, type Either } from '../../prelude.ts'
import { type Allowance, called, globalNamed, isKnown, storageOf, takesState } from './globals.ts'
import { type Complaint, describe, isKind, quoted, type TorchStorage, type TorchValue } from './values.ts'

/**
 * What a pickle's opcodes work on. They make values of a closed set and run nothing, each in time linear in its own
 * bytes and in the values it takes from the stack, so that a pickle as a whole is linear too.
 */
export interface Machine {
  /** The values since the last open mark. */
  stack: TorchValue[]
  /** What lies below each open mark. */
  readonly marked: TorchValue[][]
  readonly memo: Map<number, TorchValue>
  readonly storages: Map<string, TorchStorage>
  /** Names of code that mean nothing here. */
  readonly foreign: Set<string>
  readonly allowance: Allowance
}

/** What an opcode does with its argument; a complaint ends the reading. */
export type Step = (m: Machine, argument: Uint8Array) => Complaint | undefined

type Made = Either<Complaint, TorchValue>
type Use = (m: Machine, taken: readonly TorchValue[]) => Complaint | undefined

const complaint = (expected: string, got: string): Complaint => ({ expected, got })
const underflow = complaint('as many values as the opcode takes', 'fewer')

/** An unsigned integer, lowest byte first. */
export const natural = (bytes: Uint8Array): number => bytes.reduceRight((n, byte) => n * 256 + byte, 0)

const push = (m: Machine, made: Made): Complaint | undefined => {
  if (E.isLeft(made)) return made.left
  m.stack.push(made.right)
  return undefined
}

/** Puts what the argument says on the stack. */
export const pushing =
  (make: (argument: Uint8Array) => Made): Step =>
  (m, argument) =>
    push(m, make(argument))

/** Puts a value on the stack that needs no argument. */
export const constant = (make: () => TorchValue): Step => pushing(() => E.right(make()))

/** Takes the last `n` values from the stack. */
export const taking =
  (n: number, use: Use): Step =>
  (m) =>
    m.stack.length < n ? underflow : use(m, m.stack.splice(m.stack.length - n, n))

/** Takes the values since the last mark, and the mark. */
export const closing =
  (use: Use): Step =>
  (m) => {
    const taken = m.stack
    const below = m.marked.pop()
    if (below === undefined) return complaint('an open mark', 'none')
    m.stack = below
    return use(m, taken)
  }

export const mark: Step = (m) => {
  m.marked.push(m.stack)
  m.stack = []
  return undefined
}

export const duplicate: Step = (m) => {
  const top = m.stack.at(-1)
  return top === undefined ? underflow : push(m, E.right(top))
}

export const list: Use = (m, items) => push(m, E.right({ kind: 'list', items: [...items] }))
export const tuple: Use = (m, items) => push(m, E.right({ kind: 'tuple', items }))

export const append: Use = (m, items) => {
  const target = m.stack.at(-1)
  if (isKind('opaque')(target)) return undefined
  if (!isKind('list')(target)) return complaint('a list to append to', describe(target))
  for (const item of items) target.items.push(item)
  return undefined
}

const setAll = (entries: Map<TorchValue, TorchValue>, turns: readonly TorchValue[]): Complaint | undefined => {
  for (let i = 0; i < turns.length; i += 2) {
    const [key, value] = turns.slice(i, i + 2)
    if (key === undefined || value === undefined) return complaint('a value for each key', `${turns.length} of both`)
    if (entries.has(key))
      return complaint('keys that differ', `${typeof key === 'string' ? quoted(key) : describe(key)} twice`)
    entries.set(key, value)
  }
  return undefined
}

/** Keys and values take turns. */
export const setItems: Use = (m, turns) => {
  const target = m.stack.at(-1)
  if (isKind('opaque')(target)) return undefined
  return isKind('dict')(target)
    ? setAll(target.entries, turns)
    : complaint('a dictionary to set items of', describe(target))
}

export const dictionary: Use = (m, turns) => {
  const entries = new Map<TorchValue, TorchValue>()
  return setAll(entries, turns) ?? push(m, E.right({ kind: 'dict', entries }))
}

export const remember = (m: Machine, index: number): Complaint | undefined => {
  const top = m.stack.at(-1)
  if (top === undefined) return underflow
  m.memo.set(index, top)
  return undefined
}

export const recall: Step = (m, argument) => {
  const value = m.memo.get(natural(argument))
  return value === undefined
    ? complaint('a value remembered before', `none of number ${natural(argument)}`)
    : push(m, E.right(value))
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
export const unicode = pushing((bytes) =>
  E.tryCatch(
    () => utf8.decode(bytes),
    () => complaint('text in UTF-8', 'other bytes'),
  ),
)

/** Text of Python 2. */
export const latin1 = pushing((bytes) => E.right(Buffer.from(bytes).toString('latin1')))

const longest = 1024
/** An integer in two's complement, lowest byte first. */
export const long = pushing((bytes) => {
  if (bytes.length > longest) return E.left(complaint(`an integer of at most ${longest} bytes`, `${bytes.length}`))
  const hex = Buffer.from(bytes).reverse().toString('hex')
  const n = BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex === '' ? '0' : hex}`))
  return E.right(Number.isSafeInteger(Number(n)) ? Number(n) : n)
})

const named = (m: Machine, module: TorchValue | undefined, name: TorchValue | undefined): Made => {
  if (typeof module !== 'string' || typeof name !== 'string')
    return E.left(complaint('a module and a name in it', `${describe(module)}, ${describe(name)}`))
  const found = globalNamed(module, name)
  if (E.isRight(found) && !isKnown(found.right.name)) m.foreign.add(found.right.name)
  return found
}

export const global: Step = (m, lines) => push(m, named(m, ...split(new TextDecoder().decode(lines))))
const split = (lines: string): readonly [string | undefined, string | undefined] => {
  const [module, name] = lines.split('\n')
  return [module, name]
}

export const stackGlobal: Use = (m, [module, name]) => push(m, named(m, module, name))

export const call: Use = (m, [callee = null, args = null]) => push(m, called(callee, args, m.allowance))

/** An object of a class, made without arguments: nothing of what they say is kept. */
const made = (m: Machine, type: TorchValue): Complaint | undefined =>
  push(m, called(type, { kind: 'tuple', items: [] }, m.allowance))

/** Python 2's instances: the class by its name, then what it is made with. */
export const instance: Step = (m, lines) => closing(() => global(m, lines) ?? made(m, m.stack.pop() ?? null))(m, lines)
export const object: Use = (m, [type = null]) => made(m, type)

/** Sets, which nothing that is wanted holds. */
export const set: Use = (m) => push(m, E.right({ kind: 'opaque', name: 'builtins set' }))

/** What is set beside the values is left out: hooks of tensors, versions of modules. */
export const build: Use = (m) => {
  const target = m.stack.at(-1)
  return takesState(target) ? undefined : complaint('a value without a state', `the state of ${describe(target)}`)
}

export const persistent: Use = (m, [id = null]) => {
  const found = storageOf(id)
  if (E.isLeft(found)) return found.left
  const storage = found.right
  if (!isKind('storage')(storage)) return push(m, found)
  const known = m.storages.get(storage.key) ?? storage
  if (known.type !== storage.type || known.elements !== storage.elements)
    return complaint(
      `storage ${quoted(storage.key)} as before, ${known.elements} of ${known.type.dtype}`,
      `${storage.elements} of ${storage.type.dtype}`,
    )
  m.storages.set(storage.key, known)
  return push(m, E.right(known))
}
