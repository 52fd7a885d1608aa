import { readdirSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { orThrow, readPicture } from '../../src/index.ts'

/** Runs an example as its reader would, and gives what it printed. */
const run = async (name: string): Promise<string> => {
  const lines: string[] = []
  const print = (...words: readonly unknown[]): void => {
    lines.push(words.join(' '))
  }
  const spies = [
    vi.spyOn(console, 'log').mockImplementation(print),
    vi.spyOn(console, 'error').mockImplementation(print),
  ]
  await import(`../../examples/${name}.ts`)
  for (const spy of spies) spy.mockRestore()
  return lines.join('\n')
}

const examples: Readonly<Record<string, (printed: string) => void | Promise<void>>> = {
  gradient: (printed) => {
    expect(printed).toMatch(/^graph \{\n {2}%0 = input\(\) x : float32\[3\]\n/)
    expect(printed).toMatch(/return bell: %\d+, slope: %\d+, curvature: %\d+\n\}/)
    const row = (name: string): readonly number[] =>
      new RegExp(`^${name} +(.*)$`, 'm').exec(printed)?.[1]?.split(/ +/).map(Number) ?? []
    const bell = [0, 1, 2].map((x) => Math.exp((-x * x) / 2))
    const near = (got: readonly number[], of: (x: number, bell: number) => number): void => {
      expect(got).toHaveLength(3)
      got.forEach((y, x) => {
        expect(y).toBeCloseTo(of(x, bell[x] ?? Number.NaN), 3)
      })
    }
    near(row('bell'), (_, y) => y)
    near(row('slope'), (x, y) => -x * y)
    near(row('curvature'), (x, y) => (x * x - 1) * y)
  },
  'own-layer': (printed) => {
    expect(printed).toContain('down.0.se.squeeze.weight   float32[4, 64]')
    expect(printed).toContain(
      'down.0.se.excite (mul)\n  expected shapes that broadcast together\n  got      float32[8, 64, 16, 16] and float32[8, 64]',
    )
    const unreached = printed.match(/^\S+(?=\n {2}expected a loss that reaches)/gm)
    expect(unreached).toEqual(['squeeze', 'excite'].flatMap((l) => [`down.0.se.${l}.weight`, `down.0.se.${l}.bias`]))
  },
  'draw-from-run': async (printed) => {
    const [step, file = ''] = printed.split('\n')
    expect(step).toBe('after 5 of 10 steps: 4 pictures to be')
    expect(await orThrow(readPicture(file))).toMatchObject({ width: 2 * (4 * 32 + 2) + 2 })
  },
  'own-experiment': async (printed) => {
    const [pixels = '', picture = '', report = ''] = printed.split('\n').slice(-3)
    const discs = pixels.split(': ')[1]?.split(' ').map(Number) ?? []
    expect(discs).toHaveLength(8)
    const losses = [...printed.matchAll(/loss ([\d.]+)/g)].map(([, loss]) => Number(loss))
    expect(losses).toHaveLength(4)
    expect(losses[3]).toBeLessThan(0.9 * (losses[0] ?? 0))
    expect(await readFile(report, 'utf8')).toContain('Functions of the program discs, version 1')
    await rm(dirname(picture), { recursive: true })
  },
  laws: (printed) => {
    expect(printed.match(/^holds/gm)?.length).toBeGreaterThan(10)
    expect(printed.match(/^BROKEN.*$/gm)).toEqual(['BROKEN KL is the expected log-ratio'])
    expect(printed).toMatch(/deviates by [\d.]+, beyond 6, at \[\{"pair"/)
  },
  'tiny-diffusion': (printed) => {
    const picture = printed.split('\n').filter((line) => line.length === 33)
    expect(picture).toHaveLength(17)
    const marks = picture.flatMap((line, y) =>
      [...line].flatMap((mark, x) => Array.from({ length: ' .:+#'.indexOf(mark) }, () => [(x - 16) / 12, (8 - y) / 6])),
    )
    const spots = Array.from({ length: 6 }, (_, i) => [Math.cos((i * Math.PI) / 3), Math.sin((i * Math.PI) / 3)])
    const ofSpot = spots.map(
      ([a = 0, b = 0]) => marks.filter(([x = 0, y = 0]) => Math.hypot(x - a, y - b) < 0.3).length / marks.length,
    )
    expect(marks.length).toBeGreaterThan(60)
    expect(ofSpot.reduce((p, q) => p + q, 0)).toBeGreaterThan(0.7)
    for (const share of ofSpot) expect(share).toBeGreaterThan(0.04)
  },
}

test.each(Object.entries(examples))('examples/%s.ts', async (name, check) => check(await run(name)))

test('every example is run', () => {
  const names = readdirSync(join(import.meta.dirname, '../../examples')).filter((f) => f.endsWith('.ts'))
  expect(names.toSorted()).toEqual(
    Object.keys(examples)
      .map((n) => `${n}.ts`)
      .toSorted(),
  )
})
