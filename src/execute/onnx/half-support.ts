import { type Effect, effect, fail } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import type { Half } from '../../graph/types.ts'
import { E, TE } from '../../prelude.ts'
import { assemble } from './assemble.ts'
import { type Runtime, toTensor, toValue } from './runtime.ts'
import { createSession } from './session.ts'
import { call, cast, leaf } from './value.ts'

const type = { dtype: 'float32', shape: [1] } as const
const there = cast(leaf('x'), 'float16')
const smallest = assemble(
  [{ name: 'x', type }],
  [{ name: 'y', type, value: cast(call('Add', [there, there]), 'float32') }],
)

/** Whether the WebGPU adapter computes in half precision (its feature shader-f16): it is asked for 1 + 1. */
export const computesHalf = (ort: Runtime): Effect<boolean> =>
  effect(async (run) => {
    const session = await run(createSession(ort, smallest, { device: 'webgpu', mode: 'training', quiet: true }))
    const made = await session.run({ x: toTensor(ort, { ...type, data: Float32Array.of(1) }) })()
    session.release()
    return E.isRight(made) && made.right.y !== undefined && toValue(made.right.y).data[0] === 2
  })

const has = ({ nodes }: Graph, dtype: Half): boolean => nodes.some((n) => n.type.dtype === dtype)

/** A graph of half precision needs an adapter that has it; a `compile` error where this one has not. */
export const checkHalf = (ort: Runtime, graph: Graph): Effect<void> =>
  effect(async (run) => {
    if (has(graph, 'bfloat16'))
      await run(TE.fromEither(fail('compile', 'onnx:webgpu', 'float32 or float16', 'bfloat16, which WebGPU has not')))
    if (!has(graph, 'float16') || (await run(computesHalf(ort)))) return
    await run(
      TE.fromEither(
        fail(
          'compile',
          'onnx:webgpu',
          'a GPU that computes in float16 (the WebGPU feature shader-f16)',
          'one that does not',
          'take float32, or onnx:cpu',
        ),
      ),
    )
  })
