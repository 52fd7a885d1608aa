import { describe, expect, it } from 'vitest'
import { progress, showDuration, waits } from '../../src/train/progress.ts'

const recorder = (isTTY: boolean, columns = 200) => {
  const texts: string[] = []
  const clock = { ms: 0 }
  const options = {
    screen: { isTTY, columns, write: (text: string) => texts.push(text) },
    now: () => clock.ms,
    every: 10,
  }
  return { texts, clock, options }
}

describe('a wait', () => {
  const waited = (isTTY: boolean, seconds: number): readonly string[] => {
    const { texts, clock, options } = recorder(isTTY, 30)
    const looks: (() => void)[] = []
    const ticking = (look: () => void) => {
      looks.push(look)
      return () => void looks.pop()
    }
    const end = waits({ ...options, ticking })('compiling a program')
    for (let half = 1; half < 2 * seconds; half++) {
      clock.ms += 500
      for (const look of looks) look()
    }
    clock.ms += 500
    end()
    expect(looks).toEqual([])
    return texts
  }
  it('is told when it lasts, every few seconds and at its end', () => {
    expect(waited(false, 14)).toEqual([
      'compiling a program  2s\n',
      'compiling a program  12s\n',
      'compiling a program  took 14s\n',
    ])
    expect(waited(false, 1)).toEqual([])
  })
  it('is drawn again every second on a terminal, and never wraps', () => {
    const texts = waited(true, 4)
    expect(texts).toEqual([
      '\r\u001b[Kcompiling a program  2s',
      '\r\u001b[Kcompiling a program  3s',
      '\r\u001b[Kcompiling a program  4s',
      '\r\u001b[Kcompiling a program  took 4s\n',
    ])
  })
})

describe('progress', () => {
  it('writes plain lines every few seconds, and the last state', () => {
    const { texts, clock, options } = recorder(false)
    const p = progress('first-stage', 100, options)
    for (let step = 1; step <= 100; step++) {
      clock.ms += 250
      p.update(step, { loss: 1 / step })
    }
    p.done()
    expect(texts).toEqual([
      'first-stage  step 1/100  loss 1  4 steps/s  eta 25s\n',
      'first-stage  step 41/100  loss 0.0244  4 steps/s  eta 15s\n',
      'first-stage  step 81/100  loss 0.0123  4 steps/s  eta 5s\n',
      'first-stage  step 100/100  loss 0.01  4 steps/s  took 25s\n',
    ])
  })

  it('does not say the last state twice', () => {
    const { texts, clock, options } = recorder(false)
    const p = progress('x', 1, options)
    clock.ms += 1000
    p.update(1)
    p.done()
    expect(texts).toEqual(['x  step 1/1  1 steps/s  took 1s\n'])
  })

  it('redraws one line on a terminal and never lets it wrap', () => {
    const { texts, clock, options } = recorder(true, 60)
    const p = progress('diffusion', 4, options)
    for (let step = 1; step <= 4; step++) {
      clock.ms += 5000
      p.update(step, { loss: 0.5, 'a long name of a metric': 1 })
    }
    p.done()
    expect(texts).toHaveLength(5)
    expect(texts.every((t) => t.startsWith('\r\u001b[K'))).toBe(true)
    expect(texts.map((t) => t.replace('\r\u001b[K', '').trimEnd().length).every((n) => n < 60)).toBe(true)
    expect(texts[1]).toContain('diffusion  step 2/4  loss 0.5  5 s/step  eta 10s')
    expect(texts.map((t) => t.endsWith('\n'))).toEqual([false, false, false, false, true])
  })

  const shownAt = (columns: number | undefined): string => {
    const { texts, clock, options } = recorder(true, columns)
    const p = progress('first-stage', 12_000, options)
    clock.ms += 100_000
    p.update(1234, { loss: 123.4, rec_loss: 99.12, kl_loss: 0.001234 })
    return (texts[0] ?? '').replace('\r\u001b[K', '')
  }

  it('keeps rate and time left in every terminal, and gives up the rest in order', () => {
    expect([120, 80, 60, 48, 40, 36, 30].map(shownAt)).toEqual([
      '██░░░░░░░░░░░░░░░░░░  first-stage  step 1234/12000  loss 123  rec_loss 99.1  kl_loss 0.00123  12 steps/s  eta 14m 32s',
      '█░░░░░░░░░  first-stage  step 1234/12000  loss 123  12 steps/s  eta 14m 32s',
      'first-stage  step 1234/12000  12 steps/s  eta 14m 32s',
      'step 1234/12000  12 steps/s  eta 14m 32s',
      '1234/12000  12 steps/s  eta 14m 32s',
      '1234/12000  12 steps/s  eta 14m 32s',
      '12 steps/s  eta 14m 32s',
    ])
    for (let columns = 2; columns <= 200; columns++) {
      const text = shownAt(columns)
      expect(text.length).toBeLessThan(columns)
      if (columns > 24) expect(text).toContain('12 steps/s  eta 14m 32s')
    }
  })

  it('takes a terminal that does not know its width for one of 80 columns', () => {
    expect(shownAt(0)).toBe(shownAt(80))
  })

  it('draws on a terminal at most ten times a second', () => {
    const { texts, clock, options } = recorder(true)
    const p = progress('x', 1000, options)
    for (let step = 1; step <= 1000; step++) {
      clock.ms += 1
      p.update(step)
    }
    expect(texts.length).toBeLessThanOrEqual(11)
  })

  it('measures the rate of this run alone when work is taken up again', () => {
    const { texts, clock, options } = recorder(false)
    const p = progress('x', 200, { ...options, from: 100 })
    clock.ms += 20_000
    p.update(110)
    expect(texts).toEqual(['x  step 110/200  2 s/step  eta 3m 0s\n'])
  })

  it('shows durations', () => {
    expect([0, 59.6, 61, 3599, 3661].map(showDuration)).toEqual(['0s', '1m 0s', '1m 1s', '59m 59s', '1h 1m'])
  })
})
