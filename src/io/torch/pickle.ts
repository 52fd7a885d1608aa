import { type Checked, type Errors, failure } from '../../error.ts'
import { E } from '../../prelude.ts'
import { valueBytes } from './globals.ts'
import {
  append,
  build,
  call,
  closing,
  constant,
  dictionary,
  duplicate,
  global,
  instance,
  latin1,
  list,
  long,
  type Machine,
  mark,
  natural,
  object,
  persistent,
  pushing,
  recall,
  remember,
  type Step,
  set,
  setItems,
  stackGlobal,
  taking,
  tuple,
  unicode,
} from './machine.ts'
import type { Complaint, TorchStorage, TorchValue } from './values.ts'

/** How an opcode's argument is delimited: so many bytes, a length of so many bytes ahead of it, or lines. */
type Argument = { readonly bytes: number } | { readonly prefix: number } | { readonly lines: number }
interface Opcode {
  readonly name: string
  readonly argument: Argument
  readonly step: Step
  /** What it takes of memory beside its argument, roughly. */
  readonly bytes: number
}

const none: Argument = { bytes: 0 }
const opcode = (
  code: number | string,
  name: string,
  argument: Argument,
  step: Step,
  bytes = valueBytes,
): readonly [number, Opcode] => [typeof code === 'number' ? code : code.charCodeAt(0), { name, argument, step, bytes }]
/** Of a list or a dictionary, which may stay empty. */
const containerBytes = 256

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const unsigned = pushing((v) => E.right(natural(v)))
const bytes = pushing((v) => E.right(v))
const nothing: Step = () => undefined
const protocol: Step = (_, v) =>
  natural(v) <= 5 ? undefined : { expected: 'a pickle of protocol 2 to 5', got: `protocol ${natural(v)}` }

const stop = '.'.charCodeAt(0)
/** Of protocols 2 to 5, without extensions and buffers that lie elsewhere (CPython, `Lib/pickletools.py`). */
const opcodes: ReadonlyMap<number, Opcode> = new Map([
  opcode(0x80, 'PROTO', { bytes: 1 }, protocol),
  opcode(0x95, 'FRAME', { bytes: 8 }, nothing),
  opcode('(', 'MARK', none, mark, containerBytes),
  opcode(
    '0',
    'POP',
    none,
    taking(1, () => undefined),
  ),
  opcode(
    '1',
    'POP_MARK',
    none,
    closing(() => undefined),
  ),
  opcode('2', 'DUP', none, duplicate),
  opcode(
    'N',
    'NONE',
    none,
    constant(() => null),
  ),
  opcode(
    0x88,
    'NEWTRUE',
    none,
    constant(() => true),
  ),
  opcode(
    0x89,
    'NEWFALSE',
    none,
    constant(() => false),
  ),
  opcode(
    'J',
    'BININT',
    { bytes: 4 },
    pushing((v) => E.right(view(v).getInt32(0, true))),
  ),
  opcode('K', 'BININT1', { bytes: 1 }, unsigned),
  opcode('M', 'BININT2', { bytes: 2 }, unsigned),
  opcode(0x8a, 'LONG1', { prefix: 1 }, long),
  opcode(0x8b, 'LONG4', { prefix: 4 }, long),
  opcode(
    'G',
    'BINFLOAT',
    { bytes: 8 },
    pushing((v) => E.right(view(v).getFloat64(0))),
  ),
  opcode('U', 'SHORT_BINSTRING', { prefix: 1 }, latin1),
  opcode('T', 'BINSTRING', { prefix: 4 }, latin1),
  opcode(0x8c, 'SHORT_BINUNICODE', { prefix: 1 }, unicode),
  opcode('X', 'BINUNICODE', { prefix: 4 }, unicode),
  opcode(0x8d, 'BINUNICODE8', { prefix: 8 }, unicode),
  opcode('C', 'SHORT_BINBYTES', { prefix: 1 }, bytes),
  opcode('B', 'BINBYTES', { prefix: 4 }, bytes),
  opcode(0x8e, 'BINBYTES8', { prefix: 8 }, bytes),
  opcode(
    ']',
    'EMPTY_LIST',
    none,
    constant(() => ({ kind: 'list', items: [] })),
    containerBytes,
  ),
  opcode('a', 'APPEND', none, taking(1, append)),
  opcode('e', 'APPENDS', none, closing(append)),
  opcode('l', 'LIST', none, closing(list)),
  opcode(
    ')',
    'EMPTY_TUPLE',
    none,
    constant(() => ({ kind: 'tuple', items: [] })),
    containerBytes,
  ),
  opcode('t', 'TUPLE', none, closing(tuple)),
  opcode(0x85, 'TUPLE1', none, taking(1, tuple), containerBytes),
  opcode(0x86, 'TUPLE2', none, taking(2, tuple), containerBytes),
  opcode(0x87, 'TUPLE3', none, taking(3, tuple), containerBytes),
  opcode(
    '}',
    'EMPTY_DICT',
    none,
    constant(() => ({ kind: 'dict', entries: new Map() })),
    containerBytes,
  ),
  opcode('d', 'DICT', none, closing(dictionary), containerBytes),
  opcode('s', 'SETITEM', none, taking(2, setItems)),
  opcode('u', 'SETITEMS', none, closing(setItems)),
  opcode('h', 'BINGET', { bytes: 1 }, recall),
  opcode('j', 'LONG_BINGET', { bytes: 4 }, recall),
  opcode('q', 'BINPUT', { bytes: 1 }, (m, v) => remember(m, natural(v))),
  opcode('r', 'LONG_BINPUT', { bytes: 4 }, (m, v) => remember(m, natural(v))),
  opcode(0x94, 'MEMOIZE', none, (m) => remember(m, m.memo.size)),
  opcode('c', 'GLOBAL', { lines: 2 }, global),
  opcode(0x93, 'STACK_GLOBAL', none, taking(2, stackGlobal)),
  opcode(0x8f, 'EMPTY_SET', none, (m) => set(m, [])),
  opcode(0x90, 'ADDITEMS', none, closing(append)),
  opcode(0x91, 'FROZENSET', none, closing(set)),
  opcode(0x96, 'BYTEARRAY8', { prefix: 8 }, bytes),
  opcode('R', 'REDUCE', none, taking(2, call), containerBytes),
  opcode(0x81, 'NEWOBJ', none, taking(2, call), containerBytes),
  opcode(
    0x92,
    'NEWOBJ_EX',
    none,
    taking(3, (m, taken) => call(m, taken.slice(0, 2))),
    containerBytes,
  ),
  opcode('i', 'INST', { lines: 2 }, instance, containerBytes),
  opcode('o', 'OBJ', none, closing(object), containerBytes),
  opcode('b', 'BUILD', none, taking(1, build)),
  opcode('Q', 'BINPERSID', none, taking(1, persistent)),
  opcode(stop, 'STOP', none, nothing),
])

interface Extent {
  readonly from: number
  readonly to: number
}

const endOfLines = (content: Uint8Array, from: number, lines: number): number => {
  if (lines === 0) return from
  const end = content.indexOf(0x0a, from)
  return end < 0 ? Number.POSITIVE_INFINITY : endOfLines(content, end + 1, lines - 1)
}

/** Where an argument lies; beyond the end of the content where it is not all there. */
const extentOf = (content: Uint8Array, at: number, argument: Argument): Extent => {
  if ('bytes' in argument) return { from: at, to: at + argument.bytes }
  if ('lines' in argument) return { from: at, to: endOfLines(content, at, argument.lines) }
  const from = at + argument.prefix
  return from > content.length ? { from, to: from } : { from, to: from + natural(content.subarray(at, from)) }
}

/** A pickle's value, and where the next one begins. */
export interface Unpickled {
  readonly value: TorchValue
  /** Every storage that the pickle names, by key. */
  readonly storages: ReadonlyMap<string, TorchStorage>
  /** The names of code that mean nothing here. */
  readonly foreign: ReadonlySet<string>
  readonly end: number
}

/** An opcode of a byte makes a value of many: pickles that deflate to nothing would fill the memory. */
const allowedBytes = 2 ** 25
const allowedGrowth = 16
const mostBytes = 2 ** 29

/**
 * Reads the pickle that begins at a byte; `undefined` where the content ends before it does. Executes nothing: what Python code
 * other than that of tensors, dictionaries and numbers would make is opaque, and code that nobody's training writes is refused by name.
 * What the values take of memory is bounded by the bytes of the file that the pickle lies in. Errors: `file`.
 */
export const unpickle = (
  content: Uint8Array,
  start: number,
  path: string,
  fileBytes = content.length,
): Checked<Unpickled | undefined> => {
  const allowed = Math.min(mostBytes, allowedBytes + allowedGrowth * fileBytes)
  const m: Machine = {
    stack: [],
    marked: [],
    memo: new Map(),
    storages: new Map(),
    foreign: new Set(),
    allowance: { left: allowed },
  }
  const refused = (at: number, { expected, got, hint }: Complaint): E.Either<Errors, never> =>
    E.left([failure('file', `${path}: byte ${at} of its pickle`, expected, got, hint)])
  for (let at = start; at < content.length; ) {
    const code = content[at] ?? 0
    const found = opcodes.get(code)
    if (found === undefined)
      return refused(at, { expected: 'an opcode of plain values', got: `0x${code.toString(16).padStart(2, '0')}` })
    const { from, to } = extentOf(content, at + 1, found.argument)
    if (to > content.length) return E.right(undefined)
    m.allowance.left -= found.bytes + to - from
    if (m.allowance.left < 0)
      return refused(at, { expected: `values of at most ${allowed} bytes in a file of ${fileBytes}`, got: 'more' })
    const complaint = found.step(m, content.subarray(from, to))
    if (complaint !== undefined) return refused(at, { ...complaint, got: `${complaint.got} (${found.name})` })
    if (code === stop) {
      const value = m.stack.at(-1)
      return value === undefined
        ? refused(at, { expected: 'a value', got: 'none' })
        : E.right({ value, storages: m.storages, foreign: m.foreign, end: to })
    }
    at = to
  }
  return E.right(undefined)
}
