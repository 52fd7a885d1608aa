import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { freeze, input } from '../src/declare/index.ts'
import { type Checked, type Effect, effect, showErrors } from '../src/error.ts'
import { floats, ints, type Values } from '../src/execute/executor.ts'
import { onnx } from '../src/execute/onnx/index.ts'
import { feedTypes, type Graph, parameters } from '../src/graph/graph.ts'
import { float, int, size } from '../src/graph/types.ts'
import { filedArrays } from '../src/io/file-arrays.ts'
import { openSafetensors } from '../src/io/safetensors.ts'
import { type WrittenDtype, writeSafetensors } from '../src/io/safetensors-writer.ts'
import { withSource } from '../src/io/source.ts'
import { unet } from '../src/nn/unet/unet.ts'
import { E, pipe, TE } from '../src/prelude.ts'
import { publishedModel } from '../src/published/document.ts'
import { decode } from '../src/schema.ts'
import { optimise } from '../src/transform/index.ts'

/**
 * Memory and time of a published U-Net with weights made on the spot, under GNU time:
 *
 *     node dist/bench/published.js weights /tmp/unet.safetensors float32
 *     /usr/bin/time -v node dist/bench/published.js step /tmp/unet.safetensors 2
 */
const right = <A>(checked: Checked<A>): A => {
  if (E.isLeft(checked)) throw new Error(showErrors(checked.left))
  return checked.right
}

const name = process.env.MODEL ?? 'stable-diffusion-v1'
const root = [join(import.meta.dirname, '..'), join(import.meta.dirname, '../..')]
const text = root.flatMap((dir) => {
  try {
    return readFileSync(join(dir, 'graphs/published', `${name}.json`), 'utf8')
  } catch {
    return []
  }
})[0]

const graphOf = (batch: number): Graph => {
  const { unet: config } = right(decode(publishedModel)(JSON.parse(text ?? '')))
  if (config === undefined) throw new Error(`${name} has no U-Net`)
  const context =
    config.attention.kind === 'transformer'
      ? input('context', float(batch, 77, config.attention.contextDim))
      : undefined
  const x = input('latents', float(batch, config.inChannels, 64, 64))
  return right(
    pipe(
      freeze({ y: unet('', config)(x, input('t', int(batch)), { ...(context === undefined ? {} : { context }) }) }),
      E.map(optimise),
    ),
  )
}

const resident = (): string => {
  const status = readFileSync('/proc/self/status', 'utf8')
  const of = (field: string): number => Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024)
  return `${of('VmRSS')} MiB resident, ${of('RssAnon')} of its own, ${of('VmHWM')} at the peak`
}

/** Numbers that are cheap to make. */
const fillUniform = (into: Float32Array, bound: number): void => {
  let state = into.length >>> 0
  for (let i = 0; i < into.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    into[i] = (state / 2 ** 31 - 1) * bound
  }
}

const isWritten = (dtype: string): dtype is WrittenDtype => ['float32', 'float16', 'bfloat16'].includes(dtype)
const writeWeights = (path: string, dtype: string): Effect<void> =>
  effect(async (run) => {
    if (!isWritten(dtype)) throw new Error(`float32, float16 or bfloat16 instead of ${dtype}`)
    const arrays = parameters(graphOf(1)).map(({ name: leaf, shape }) => {
      const read = TE.fromIO(() => {
        const data = new Float32Array(size(shape))
        if (shape.length === 1) data.fill(leaf.endsWith('weight') ? 1 : 0)
        else fillUniform(data, Math.sqrt(3 / size(shape.slice(1))))
        return { dtype: 'float32', shape, data } as const
      })
      return [`model.diffusion_model.${leaf}`, { dtype, shape, read }] as const
    })
    const { bytes } = await run(writeSafetensors(path, Object.fromEntries(arrays)))
    console.log(`${path}: ${arrays.length} arrays, ${(bytes / 2 ** 30).toFixed(2)} GiB; ${resident()}`)
  })

const prefix = 'model.diffusion_model.'
const step = (path: string, batch: number, repeats: number): Effect<void> =>
  effect(async (run) => {
    const started = performance.now()
    const since = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`
    const graph = graphOf(batch)
    console.log(`${since()}: the graph; ${resident()}`)
    const wanted = new Set(parameters(graph).map((p) => p.name))
    const { files } = await run(pipe(withSource(path, openSafetensors), TE.flatMap(filedArrays)))
    const own = Object.fromEntries(
      Object.entries(files).flatMap(([leaf, file]) => {
        const bare = leaf.startsWith(prefix) ? leaf.slice(prefix.length) : leaf
        return wanted.has(bare) ? [[bare, file]] : []
      }),
    )
    const executable = await run(onnx('cpu').compile(graph, { mode: 'sampling', files: own }))
    console.log(`${since()}: compiled around ${(statSync(path).size / 2 ** 30).toFixed(2)} GiB; ${resident()}`)
    const fed: Values = Object.fromEntries(
      Object.entries(feedTypes(graph)).flatMap(([leaf, { dtype, shape }]) => {
        if (wanted.has(leaf)) return []
        const sines = Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(i))
        return [[leaf, dtype === 'int32' ? ints(shape, new Int32Array(size(shape)).fill(500)) : floats(shape, sines)]]
      }),
    )
    const seconds: number[] = []
    for (let i = 0; i < repeats; i++) {
      const begun = performance.now()
      const { y } = await run(executable.run(fed))
      seconds.push((performance.now() - begun) / 1000)
      if (i === 0) console.log(`${seconds[0]?.toFixed(2)} s, first number ${y?.data[0]}; ${resident()}`)
    }
    console.log(`steps of batch ${batch}: ${seconds.map((s) => s.toFixed(2)).join(', ')} s; ${resident()}`)
  })

const [what, path = '', option = '', repeats = ''] = process.argv.slice(2)
const works: Readonly<Record<string, () => Effect<void>>> = {
  weights: () => writeWeights(path, option),
  step: () => step(path, Number(option) || 1, Number(repeats) || 3),
}
const work = works[what ?? '']
if (work === undefined) throw new Error('weights FILE DTYPE | step FILE BATCH [TIMES]')
right(await work()())
