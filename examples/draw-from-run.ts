/** Draws from a run, and looks at it on the way: `node dist/examples/draw-from-run.js` */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { grid, loadRun, orThrow, type SampleStep, writePicture } from 'latentgraph'

const run = await orThrow(loadRun('packages/models/shapes'))
const prompt = 'a red circle left of a blue square'
const onStep = async ({ done, of, predicted }: SampleStep): Promise<void> => {
  if (done === 5) console.log(`after ${done} of ${of} steps: ${(await orThrow(predicted())).length} pictures to be`)
}
const pictures = await orThrow(run.sample({ prompt, count: 4, seed: 7, steps: 10, onStep }))
const file = join(tmpdir(), 'latentgraph-drawn.png')
await orThrow(writePicture(file, orThrow(grid(pictures, { columns: 2, scale: 4 }))))
run.dispose()
console.log(file)
