import { splat } from '../tail/kernel.ts'
import { instructions, isLane, isRounding, type Kind, lanes } from './expression.ts'
import { halves } from './half-text.ts'
import { type Loop, type Operand, pointersOf, type Reduction, type Walk } from './loop.ts'
import { elementBytes } from './view.ts'

/**
 * Loops as functions of WebAssembly: (from, to, address of each pointer), over the elements `from` up to `to` of the outermost level. The vector's level is walked over in strides of 4 vectors, then of one, then of one element.
 */

interface Mode {
  /** Vectors side by side. */
  readonly vectors: number
  /** Elements of a vector that count. */
  readonly width: 4 | 1
}

const inLanes = (value: number, of: Kind): string =>
  of === 'float' ? splat(value) : `(i32x4.splat (i32.const ${value}))`

const combine: { readonly [R in Reduction]: (a: string, b: string) => string } = {
  sum: instructions.add,
  sumInt: instructions.addInt,
  max: instructions.max,
  maxInt: instructions.maxInt,
}
const identity: { readonly [R in Reduction]: string } = {
  sum: '(f32x4.splat (f32.const 0))',
  sumInt: '(i32x4.splat (i32.const 0))',
  max: '(f32x4.splat (f32.const -inf))',
  maxInt: '(i32x4.splat (i32.const -2147483648))',
}
const shuffled = (a: string, ...order: readonly number[]): string =>
  `(i8x16.shuffle ${order.flatMap((lane) => [0, 1, 2, 3].map((b) => lane * 4 + b)).join(' ')} ${a} ${a})`

/** Steps up to which so many vectors are worth the registers. */
const vectorsFor = ({ steps, reduction }: Loop): number =>
  reduction !== undefined || steps.length <= 6 ? 4 : steps.length <= 30 ? 2 : 1

const laneCall = (op: keyof typeof lanes, operands: readonly string[], width: 4 | 1): string => {
  const { from, to } = lanes[op]
  const [read, write] = [from === 'float' ? 'f32x4' : 'i32x4', to === 'float' ? 'f32x4' : 'i32x4']
  const each = (lane: number): string =>
    `(call $${op} ${operands.map((o) => `(${read}.extract_lane ${lane} ${o})`).join(' ')})`
  let out = `(${write}.splat ${each(0)})`
  for (let lane = 1; lane < width; lane++) out = `(${write}.replace_lane ${lane} ${out} ${each(lane)})`
  return out
}

/** The low halves of the lanes of two vectors in one. */
const packed = (a: string, b: string): string => `(i16x8.narrow_i32x4_u ${a} ${b})`
/** What reads and writes numbers of so many bytes: one for all lanes, 4 together, and a lane. */
const access = {
  4: { splat: 'v128.load32_splat', four: 'v128.load', lane: 'v128.load32_lane', store: 'v128.store32_lane', every: 1 },
  2: {
    splat: 'v128.load16_splat',
    four: 'v128.load16x4_u',
    lane: 'v128.load16_lane',
    store: 'v128.store16_lane',
    every: 2,
  },
} as const
const accessTo = ({ element }: Walk) => ({
  ...(element === 'word' ? access[4] : access[2]),
  bytes: elementBytes[element],
})

const depthOf = ({ steps }: Walk): number => steps.findLastIndex((s) => s !== 0)

/** A pointer's walk by the name of its variable. */
interface Named extends Walk {
  readonly name: string
}
/** The same, so many bytes further on. */
interface Pointed extends Named {
  readonly bytes: number
}
/** Writes one loop; the parts know each other's names. */
const writing = (loop: Loop) => {
  const { levels, vector, arrays, steps, results, reduction } = loop
  const last = levels.length - 1
  const most = vectorsFor(loop)
  const { pointers, of } = pointersOf(loop)
  const walks = pointers.map((w, i) => ({ ...w, name: `p${i}` }))
  /** How the walk of a place among arrays and results is had. */
  const pointed = (at: number): Pointed => {
    const { pointer: by = 0, shift = 0 } = of[at] ?? {}
    const walk = walks[by] ?? { ...noWalk, name: '' }
    return { ...walk, bytes: shift * elementBytes[walk.element] }
  }
  const locals = new Map<string, string>()
  const local = (name: string, type: string): string => {
    locals.set(name, type)
    return name
  }
  /** Numbers lie in locals: V8 would make each anew wherever it stands. */
  const constants = new Map<string, string>()
  const constant = (value: number, of: Kind): string => {
    const text = inLanes(value, of)
    const name = constants.get(text) ?? local(`k${constants.size}`, 'v128')
    constants.set(text, name)
    return `(local.get $${name})`
  }
  const bits = (value: number): string => constant(value, 'int')
  /** The level that an operand is known at, and whether it differs between the elements of a vector. */
  const stepLevels: number[] = []
  const stepWide: boolean[] = []
  const levelOf = (o: Operand): number =>
    o.kind === 'number' ? -1 : o.kind === 'array' ? depthOf(arrays[o.index] ?? noWalk) : (stepLevels[o.index] ?? -1)
  const isWide = (o: Operand): boolean =>
    o.kind === 'number'
      ? false
      : o.kind === 'array'
        ? (arrays[o.index]?.steps[vector] ?? 0) !== 0
        : stepWide[o.index] === true
  for (const { operands } of steps) {
    stepLevels.push(Math.max(-1, ...operands.map(levelOf)))
    stepWide.push(operands.some(isWide))
  }
  const pointer = (w: Named, level: number): string => {
    for (let l = level; l >= 0; l--) if ((w.steps[l] ?? 0) !== 0) return `$${w.name}_${l}`
    return `$${w.name}`
  }
  const read = (o: Operand, u: number): string =>
    o.kind === 'number'
      ? constant(o.value, o.of)
      : `(local.get $${local(`${o.kind === 'array' ? 'x' : 't'}${o.index}_${isWide(o) ? u : 0}`, 'v128')})`

  const loadText = (w: Pointed, u: number, { width }: Mode): string => {
    const p = `(local.get ${pointer(w, last)})`
    const stride = w.steps[vector] ?? 0
    const { splat, four, lane: one, bytes, every } = accessTo(w)
    if (stride === 0 || width === 1) return `(${splat} offset=${w.bytes} ${p})`
    if (stride === 1) return `(${four} offset=${w.bytes + u * 4 * bytes} ${p})`
    let out = `(${splat} offset=${w.bytes + u * 4 * stride * bytes} ${p})`
    for (let lane = 1; lane < 4; lane++)
      out = `(${one} offset=${w.bytes + (u * 4 + lane) * stride * bytes} ${lane * every} ${p} ${out})`
    return out
  }
  const loaded = (w: Pointed, u: number, mode: Mode, into: string): string => {
    const set = (value: string): string => `(local.set $${into} ${value})`
    const lines = [set(loadText(w, u, mode))]
    if (w.element !== 'word') lines.push(set(halves[w.element].widened(`(local.get $${into})`, bits)))
    return lines.join('\n')
  }
  const storeText = (w: Pointed, value: (u: number) => string, mode: Mode): string => {
    const p = `(local.get ${pointer(w, last)})`
    const stride = w.steps[vector] ?? 0
    const { store, bytes, every } = accessTo(w)
    const stored = (u: number): string => (w.element === 'word' ? value(u) : halves[w.element].narrowed(value(u), bits))
    const out: string[] = []
    for (let u = 0; u < mode.vectors; u++) {
      const at = (lane: number): string => `offset=${w.bytes + (u * 4 + lane) * stride * bytes}`
      if (stride === 0 || mode.width === 1) out.push(`(${store} offset=${w.bytes} 0 ${p} ${stored(u)})`)
      else if (stride !== 1)
        for (let lane = 0; lane < 4; lane++) out.push(`(${store} ${at(lane)} ${lane * every} ${p} ${stored(u)})`)
      else if (w.element === 'word') out.push(`(v128.store ${at(0)} ${p} ${stored(u)})`)
      else if (mode.vectors === 1) out.push(`(v128.store64_lane ${at(0)} 0 ${p} ${packed(stored(u), stored(u))})`)
      else if (u % 2 === 0) out.push(`(v128.store ${at(0)} ${p} ${packed(stored(u), stored(u + 1))})`)
    }
    return out.join('\n')
  }

  /** What becomes known at a level. */
  const computed = (level: number, mode: Mode): string => {
    const out: string[] = []
    const each = (wide: boolean, line: (u: number) => string): void => {
      for (let u = 0; u < (wide ? mode.vectors : 1); u++) out.push(line(u))
    }
    arrays.forEach((w, i) => {
      if (depthOf(w) !== level) return
      const operand = { kind: 'array', index: i } as const
      each(isWide(operand), (u) => loaded(pointed(i), u, mode, local(`x${i}_${isWide(operand) ? u : 0}`, 'v128')))
    })
    steps.forEach(({ op, operands }, i) => {
      if (stepLevels[i] !== level) return
      each(stepWide[i] === true, (u) => {
        const given = operands.map((o) => read(o, u))
        const [a = '', b = '', c = ''] = given
        const value = isLane(op)
          ? laneCall(op, given, stepWide[i] === true ? mode.width : 1)
          : isRounding(op)
            ? halves[op].rounded(a, bits)
            : instructions[op](a, b, c)
        return `(local.set $${local(`t${i}_${u}`, 'v128')} ${value})`
      })
    })
    return out.join('\n')
  }

  const accumulator = (r: number, level: number, u: number | 's'): string =>
    `$${local(`acc${r}_${level}_${u}`, 'v128')}`
  const eachResult = (line: (r: number) => string): string => results.map((_, r) => line(r)).join('\n')
  const vectorsAt = (mode: Mode): readonly number[] => Array.from({ length: mode.vectors }, (_, u) => u)

  /** Hands what a level amounts to on to the level around it, or stores it. */
  const handOn = (r: number, level: number, mode: Mode, value: (u: number) => string): string => {
    if (reduction === undefined || level < 0 || levels[level]?.reduced !== true)
      return storeText(pointed(arrays.length + r), value, mode)
    const scalar = level === vector && mode.width === 1
    return vectorsAt(mode)
      .map((u) => {
        const into = accumulator(r, level, scalar ? 's' : u)
        return `(local.set ${into} ${combine[reduction](`(local.get ${into})`, value(u))})`
      })
      .join('\n')
  }

  /** Where the vector's level is reduced, what lies outside of it is single numbers. */
  const outside = (level: number, mode: Mode): Mode =>
    level < vector || levels[vector]?.reduced === true ? (level < vector ? { vectors: 1, width: 1 } : mode) : mode

  const begun = (level: number, vectors: number): string => {
    if (reduction === undefined || levels[level]?.reduced !== true) return ''
    const names: (number | 's')[] = Array.from({ length: vectors }, (_, u) => u)
    if (level === vector) names.push('s')
    return eachResult((r) =>
      names.map((u) => `(local.set ${accumulator(r, level, u)} ${identity[reduction]})`).join('\n'),
    )
  }
  const ended = (level: number, mode: Mode): string => {
    if (reduction === undefined || levels[level]?.reduced !== true) return ''
    const join = combine[reduction]
    return eachResult((r) => {
      const get = (u: number | 's'): string => `(local.get ${accumulator(r, level, u)})`
      if (level !== vector) return handOn(r, level - 1, mode, get)
      const sum = `$${local(`sum${r}`, 'v128')}`
      const all = Array.from({ length: most }, (_, u) => get(u)).reduce((a, b) => join(a, b))
      const lines = [`(local.set ${sum} ${all})`]
      for (const order of [
        [2, 3, 0, 1],
        [1, 0, 3, 2],
      ])
        lines.push(`(local.set ${sum} ${join(`(local.get ${sum})`, shuffled(`(local.get ${sum})`, ...order))})`)
      lines.push(handOn(r, level - 1, { vectors: 1, width: 1 }, () => join(`(local.get ${sum})`, get('s'))))
      return lines.join('\n')
    })
  }

  const moved = (level: number, by: number): string =>
    walks
      .flatMap((w) => {
        const step = w.steps[level] ?? 0
        const p = `$${w.name}_${level}`
        return step === 0
          ? []
          : [`(local.set ${p} (i32.add (local.get ${p}) (i32.const ${step * elementBytes[w.element] * by})))`]
      })
      .join('\n')
  const entered = (level: number): string =>
    walks
      .flatMap((w) => {
        const step = w.steps[level] ?? 0
        const p = local(`${w.name}_${level}`, 'i32')
        if (step === 0) return []
        const start = `(local.get ${pointer(w, level - 1)})`
        const shift = `(i32.mul (local.get $from) (i32.const ${step * elementBytes[w.element]}))`
        return [`(local.set $${p} ${level === 0 ? `(i32.add ${start} ${shift})` : start})`]
      })
      .join('\n')

  const inner = (level: number, mode: Mode): string =>
    [
      computed(level, mode),
      level === last
        ? eachResult((r) => handOn(r, level, mode, (u) => read(results[r]?.operand ?? nothing, u)))
        : nested(level + 1, mode),
    ].join('\n')

  const nested = (level: number, mode: Mode): string => {
    const n = `$${local(`n${level}`, 'i32')}`
    const length =
      level === 0 ? '(i32.sub (local.get $to) (local.get $from))' : `(i32.const ${levels[level]?.length ?? 0})`
    const loopText = (width: number, body: string): string =>
      `(if (i32.ge_u (local.get ${n}) (i32.const ${width})) (then (loop $l${level}
${body}
${moved(level, width)}
(br_if $l${level} (i32.ge_u (local.tee ${n} (i32.sub (local.get ${n}) (i32.const ${width}))) (i32.const ${width}))))))`
    const modes: readonly Mode[] =
      level !== vector
        ? [outside(level, mode)]
        : [
            ...(most > 1 ? [{ vectors: most, width: 4 } as const] : []),
            { vectors: 1, width: 4 },
            { vectors: 1, width: 1 },
          ]
    return [
      entered(level),
      `(local.set ${n} ${length})`,
      begun(level, level === vector ? most : mode.vectors),
      ...modes.map((m) => loopText(level === vector ? m.vectors * m.width : 1, inner(level, m))),
      ended(level, mode),
    ].join('\n')
  }

  const start: Mode = { vectors: 1, width: 1 }
  const body = [computed(-1, start), nested(0, start)].join('\n')
  const numbers = [...constants].map(([value, name]) => `(local.set $${name} ${value})`).join('\n')
  const params = ['from', 'to', ...walks.map(({ name }) => name)].map((name) => `(param $${name} i32)`).join(' ')
  const declared = [...locals].map(([name, type]) => `(local $${name} ${type})`).join(' ')
  return `${params}\n${declared}\n${numbers}\n${body}`
}
const noWalk: Walk = { buffer: 0, element: 'word', offset: 0, steps: [] }
const nothing: Operand = { kind: 'number', value: 0, of: 'float' }

const imports = Object.entries(lanes).map(([name, { from, to, arity }]) => {
  const type = { float: 'f32', int: 'i32' }
  return `(import "lanes" "${name}" (func $${name} (param ${Array(arity).fill(type[from]).join(' ')}) (result ${type[to]})))`
})

/** Loops as a module in WebAssembly's text, and the name of each one's function. Loops of the same arithmetic and steps share one. */
export const moduleText = (loops: readonly Loop[]): { readonly text: string; readonly names: readonly string[] } => {
  const [known, written] = [new Map<string, string>(), new Map<string, string>()]
  const names = loops.map((loop) => {
    const walked = ({ element, steps }: Walk) => [element, steps]
    const arrays = loop.arrays.map(walked)
    const results = loop.results.map((r) => [walked(r), r.operand])
    const like = JSON.stringify([{ ...loop, arrays, results }, pointersOf(loop).of])
    const body = written.get(like) ?? writing(loop)
    written.set(like, body)
    const name = known.get(body) ?? `loop${known.size}`
    known.set(body, name)
    return name
  })
  const functions = [...known].map(([body, name]) => `(func (export "${name}")\n${body})`)
  return {
    text: `(module\n${imports.join('\n')}\n(import "" "memory" (memory 0 65536 shared))\n${functions.join('\n')})`,
    names,
  }
}
