import { isDeepStrictEqual } from 'node:util'
import { bestOn, planned } from '../../src/execute/onednn/compile.ts'
import { piecesFor } from '../../src/execute/onednn/costs.ts'
import { halvesOfLibrary } from '../../src/execute/onednn/found.ts'
import { onednn } from '../../src/execute/onednn/index.ts'
import { library } from '../../src/execute/onednn/load.ts'
import { ownership } from '../../src/execute/onednn/ownership.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { halves } from '../../src/graph/types.ts'
import { precision } from '../../src/transform/index.ts'
import { right, runOn } from '../arbitrary/run.ts'
import { apart, normOf, stepOfUNet } from '../arbitrary/unet-step.ts'

/**
 * A training step of a small U-Net in half precision as the engine does it on this processor: what `doctor` says of it, which
 * implementations did it, how far it is from the reference in the same precision and from float32, and whether it is the same to the bit
 * twice and on two threads. LATENTGRAPH_PRECISION: bfloat16, or float16.
 */
const half = halves.find((h) => h === (process.env.LATENTGRAPH_PRECISION ?? 'bfloat16'))
if (half === undefined) throw new Error('LATENTGRAPH_PRECISION is float16 or bfloat16')
console.log(right(await halvesOfLibrary()))

const { graph, feeds } = await stepOfUNet(2)
const mixed = precision(half)(graph)
const found = right(await library())
const none: ReadonlySet<string> = new Set()
const target = { mode: 'training', carry: {}, baked: none, fixed: none, pieces: piecesFor(2) } as const
const owner = ownership(found)
const used = planned(mixed, found, owner, target, bestOn(found)).each.flatMap((i) =>
  i.kind === 'primitive' ? [`${i.does} of ${i.element}: ${i.algorithm}`] : [],
)
owner.release()
for (const what of new Set(used)) console.log(`  ${used.filter((u) => u === what).length} ${what}`)

const seconds = (): string => `${Math.round(performance.now() / 1000)} s`
const on = (threads: number) => runOn(onednn, { mode: 'training', threads })(mixed, feeds)
const ours = await on(1)
console.log(`computed by ${seconds()}`)
const [isSame, isSameOfTwo] = [isDeepStrictEqual(await on(1), ours), isDeepStrictEqual(await on(2), ours)]
console.log(`a second time the same: ${isSame}, on two threads: ${isSameOfTwo}; by ${seconds()}`)

const [exact, rounded] = [await runOn(reference)(graph, feeds), await runOn(reference)(mixed, feeds)]
const share = (x: number): string => (x / normOf(exact)).toExponential(2)
const [own, theirs] = [apart(ours, exact), apart(rounded, exact)]
console.log(`loss ${ours.loss?.data[0]}; of the reference ${rounded.loss?.data[0]}, in float32 ${exact.loss?.data[0]}`)
console.log(
  `gradients: ${share(apart(ours, rounded))} of their norm from the reference's; from float32's ${share(own)}, the reference's are ${share(theirs)}`,
)
console.log(`all of it by ${seconds()}`)
if (!(own <= 1.05 * theirs) || !isSame || !isSameOfTwo) process.exitCode = 1
