import { concat, input, type Tensor } from '../declare/index.ts'
import { type Denoiser, denoiser } from '../diffusion/denoiser.ts'
import { once } from '../diffusion/once.ts'
import type { Checked } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import type { Graph } from '../graph/graph.ts'
import type { Shape, TensorType } from '../graph/types.ts'
import type { ControlNetConfig } from '../nn/controlnet.ts'
import { unet } from '../nn/unet/unet.ts'
import { E, pipe } from '../prelude.ts'
import { stepGraph } from '../samplers/index.ts'
import { optimise } from '../transform/index.ts'
import { type ControlRequest, residualsOf, seenResiduals } from './control.ts'
import type { PipelineDocument } from './document.ts'
import { branches, type Guidance, guided } from './guidance.ts'
import type { Walk } from './walk.ts'

/** Leaves of what the network is told, all branches of guidance after each other on axis 0. */
export const toldLeaves = { context: 'told/context', y: 'told/y', beside: 'told/beside' } as const
/** What the network is told: by leaf. */
export type ToldValues = Values

/** What a step gives beside x: what the network said under each condition. */
export const saidLeaf = 'network/said'

const copies = (x: Tensor, n: number): Tensor => (n === 1 ? x : concat(0, ...Array.from({ length: n }, () => x)))

const leafOf = (told: ToldValues, name: string): Tensor | undefined => {
  const value = told[name]
  const type: TensorType | undefined = value && { dtype: value.dtype, shape: value.shape }
  return type && input(name, type)
}

export interface StepOptions {
  /** Of x, batch first. */
  readonly shape: Shape
  readonly guidance: Guidance
  readonly told: ToldValues
  /** A ControlNet, and what it is asked. */
  readonly control?: { readonly config: ControlNetConfig; readonly request: ControlRequest }
  /** Whether a part of the picture is known, and stays. */
  readonly inpaint: boolean
  /** What steps give that is only looked at. */
  readonly watch: 'nothing' | 'prediction' | 'all'
}

const watched = {
  nothing: {},
  prediction: { watch: ['predX0'] },
  all: { watch: ['predX0', 'seen', 'said'] },
} as const

/** One step of a walk as a graph. Errors: what the network is told does not fit it. */
export const pipelineStep = (
  { unet: config, predicts }: PipelineDocument,
  walk: Walk,
  { shape, guidance, told, control, inpaint, watch }: StepOptions,
): Checked<Graph> => {
  const count = branches[guidance.kind].length
  const network = unet('', config)
  const [context, y, beside] = [
    leafOf(told, toldLeaves.context),
    leafOf(told, toldLeaves.y),
    leafOf(told, toldLeaves.beside),
  ]
  const residuals = once((x: Tensor, t: Tensor) =>
    control === undefined
      ? undefined
      : residualsOf(control.config, {
          x,
          t,
          context,
          y,
          count,
          guess: control.request.guess,
          hint: control.request.hint,
        }),
  )
  const said = once((x: Tensor, t: Tensor) => {
    const all = copies(x, count)
    return network(beside === undefined ? all : concat(1, all, beside), copies(t, count), {
      context,
      y,
      residuals: residuals(x, t),
    })
  })
  const shows = (x: Tensor, t: Tensor): Readonly<Record<string, Tensor>> => {
    const added = residuals(x, t)
    return { [saidLeaf]: said(x, t), ...(added === undefined ? {} : seenResiduals(added)) }
  }
  const denoise: Denoiser = denoiser(walk.declared?.predicts ?? predicts, (x, t) => guided(said(x, t), guidance))
  return pipe(
    stepGraph(walk.plan, denoise, {
      shape,
      inpaint,
      ...(walk.keep === undefined ? {} : { keep: walk.keep }),
      ...watched[watch],
      ...(watch === 'all' ? { shows } : {}),
    }),
    E.map(optimise),
  )
}
