import { cpus, loadavg } from 'node:os'
import { type Effect, type Errors, effect, showErrors } from '../error.ts'
import { auto, executorByName } from '../execute/auto.ts'
import { executorsThat, type Way, ways } from '../execute/half-arithmetic.ts'
import { halvesOfLibrary, lookForLibrary } from '../execute/onednn/found.ts'
import { measureSpeed, ratioOf, ratioText, type Speed, speedRecord } from '../execute/onednn/speed.ts'
import { available } from '../execute/onnx/available.ts'
import { type Backend, backends, look } from '../execute/tfjs/index.ts'
import { lookForPlatform, namedPlatforms } from '../execute/xla/found.ts'
import { howToGet } from '../execute/xla/places.ts'
import { version } from '../package.ts'
import { E, T, TE } from '../prelude.ts'
import { machine } from '../run/machine.ts'
import { written } from './record.ts'

const rows = (facts: readonly (readonly [string, string])[]): string =>
  facts.map(([label, value]) => `${label.padEnd(18)}${value}\n`).join('')

const tfjsRow = async (name: Backend): Promise<readonly [string, string]> => {
  const { usable, what } = await look(name)()
  return [`  tfjs:${name}`, usable ? `usable: ${what}` : `not usable: ${what}`]
}

/** docs/decisions/0017 */
const wouldGive =
  'training on the CPU in less time than onnx:cpu: measured on a processor with AVX2; doctor measures it here once the library is there'
const measured: Effect<Speed> = effect(async (run) =>
  run(measureSpeed(await run(executorByName('onednn')), await run(executorByName('onnx:cpu')))),
)
/** How fast oneDNN is here, measured anew each time and written down for `auto`. */
export const oneDnnSpeed = (measure: Effect<Speed> = measured): Effect<string> =>
  effect(async (run) => {
    const speed = await run(measure)
    await run(written(speedRecord, speed))
    const [load = 0] = loadavg()
    const busy = load > cpus().length ? ` (load ${load.toFixed(1)}: measure again when the machine is idle)` : ''
    return `${ratioText(speed)}, so auto takes ${ratioOf(speed) < 1 ? 'it before' : 'only'} onnx:cpu${busy}`
  })

const halfSays: { readonly [W in Way]: string } = {
  computes: 'computed by the device',
  'by processor': 'by the device where it has matrix units for it, else as those below',
  simulates: 'computed in float32, each result rounded: slower than float32',
  refuses: 'refused',
}
/** What executors make of half precision. */
const halfRows: readonly (readonly [string, string])[] = [
  ['half precision', 'float16 and bfloat16, for training and sampling'],
  ...ways.map((way) => [`  ${way}`, `${executorsThat(way).join(', ')}: ${halfSays[way]}`] as const),
]

/** What was found, or why nothing was: doctor goes on. */
const told = (e: Effect<string>): Promise<string> => TE.getOrElse((errors: Errors) => T.of(showErrors(errors)))(e)()

/** What can run graphs here, and which of it `auto` picks. */
export const aboutMachine: Effect<string> = effect(async () => {
  const { cpu, cores, memoryGiB } = machine()
  const found = await available()
  const runtime: readonly (readonly [string, string])[] = E.isLeft(found)
    ? [['onnx', `not usable\n${showErrors(found.left)}`]]
    : [
        ['onnx', `ONNX Runtime ${found.right.version}`],
        [
          '  providers',
          found.right.providers.map(({ name, bundled }) => (bundled ? name : `${name} (not bundled)`)).join(', '),
        ],
        ['  onnx:cpu', 'usable'],
        [
          '  onnx:webgpu',
          found.right.webgpu.usable
            ? `usable, ${found.right.webgpu.half ? 'with' : 'without'} float16`
            : `not usable: ${found.right.webgpu.reason}`,
        ],
      ]
  const oneDnn = await lookForLibrary()
  const speed = oneDnn.usable && E.isRight(found) ? [['  measured', await told(oneDnnSpeed())] as const] : []
  const half = oneDnn.usable ? [['  half precision', await told(halvesOfLibrary)] as const] : []
  const platforms: (readonly [string, string])[] = []
  for (const platform of await namedPlatforms()) {
    const { usable, what } = await lookForPlatform(platform)()
    platforms.push([`  xla:${platform}`, usable ? `usable: ${what}` : `not usable: ${what}`])
  }
  const others: (readonly [string, string])[] = []
  for (const name of backends) others.push(await tfjsRow(name))
  const choice = await auto()
  return rows([
    ['latentgraph', version()],
    ['node', `${process.version} on ${process.platform} ${process.arch}`],
    ['cpu', `${cpu}, ${cores} cores`],
    ['memory', `${memoryGiB.toFixed(1)} GiB`],
    ['reference', 'usable (float64, slow: the specification)'],
    ...runtime,
    ['onednn', oneDnn.usable ? `usable: ${oneDnn.what}` : `not usable: ${oneDnn.what}`],
    ...half,
    ...speed,
    ...(oneDnn.usable ? [] : [['  it would give', wouldGive] as const]),
    ['xla', platforms.length > 0 ? 'XLA, through PJRT plugins' : `no PJRT plugin was named (${howToGet})`],
    ...platforms,
    ['tfjs', 'TensorFlow.js, of optional packages'],
    ...others,
    ...halfRows,
    [
      'auto',
      E.isLeft(choice) ? `none\n${showErrors(choice.left)}` : `${choice.right.executor.name}: ${choice.right.reason}`,
    ],
  ])
})
