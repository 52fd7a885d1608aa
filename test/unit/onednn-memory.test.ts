import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { float, type Shape, size } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { right } from '../arbitrary/run.ts'
import { graphOf } from './onnx-support.ts'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')
/** MiB that the process has more after something than before, once nothing waits to be collected: what is shared goes in a later turn. */
const grown = async (body: () => Promise<void>): Promise<{ readonly resident: number; readonly heap: number }> => {
  const taken = async () => {
    collect()
    await setTimeout(20)
    collect()
    return process.memoryUsage()
  }
  const before = await taken()
  await body()
  const after = await taken()
  return { resident: (after.rss - before.rss) / 2 ** 20, heap: (after.heapUsed - before.heapUsed) / 2 ** 20 }
}

const weights: Shape = [16, 16, 3, 3]
/** A step that is fed 64 KiB an item and gives back as much. */
const stepOf = (pictures: Shape) => {
  const [x, w] = [D.input('x', float(...pictures)), D.input('w', float(...weights))]
  const same = { stride: [1, 1], padding: [1, 1, 1, 1] } as const
  const y = pipe(x, D.conv2d(w, same), D.silu)
  const gradient = pipe(y, D.convWeightGrad(x, [3, 3], same))
  return graphOf({ y, next: pipe(w, D.sub(pipe(gradient, D.mul(1e-6)))), loss: pipe(y, D.mean()) })
}
const filled = (shape: Shape) =>
  floats(
    shape,
    Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(i)),
  )

await suiteOn('onednn', 'onednn leaves nothing in memory', (executor) => {
  const begun = async (items: number, threads: number) => {
    const pictures = [items, 16, 32, 32]
    const program = right(await executor.compile(stepOf(pictures), { mode: 'training', threads })())
    const stepper = right(await program.start({ next: 'w' }, { w: filled(weights) })())
    const steps = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) right(await stepper.step({ x: filled(pictures) })())
    }
    return { program, steps }
  }

  test('of 300 steps', async () => {
    const { program, steps } = await begun(2, 1)
    await steps(60)
    const { resident, heap } = await grown(() => steps(300))
    program.dispose()
    // One array of a step that were kept would be 37.
    expect(resident).toBeLessThan(12)
    expect(heap).toBeLessThan(1)
  })
  test.each([1, 2])('of programs that were disposed of, on %i threads', async (threads) => {
    const lived = async (programs: number): Promise<void> => {
      for (let i = 0; i < programs; i++) {
        const { program, steps } = await begun(16, threads)
        await steps(1)
        program.dispose()
      }
    }
    await lived(4)
    const { resident } = await grown(() => lived(10))
    // Each has 10.
    expect(resident).toBeLessThan(40)
  })
})
