import { join } from 'node:path'
import { concat, freeze, input, mul, part, type Tensor, zerosLike } from '../declare/index.ts'
import { type Effect, effect, fail } from '../error.ts'
import { floats, type Value, type Values } from '../execute/executor.ts'
import { float, int } from '../graph/types.ts'
import { withCheckpointFile } from '../io/checkpoint-file.ts'
import { withSource } from '../io/source.ts'
import type { UnreadArrays } from '../io/stored.ts'
import { type ControlNetConfig, controlNet, scaledResiduals } from '../nn/controlnet.ts'
import type { Layout } from '../nn/layout.ts'
import type { Residuals } from '../nn/skip-connected.ts'
import { E, pipe, RR, TE, t } from '../prelude.ts'
import { originalModel, originalPrefixes } from '../published/compvis/index.ts'
import { controlNetNames, diffusersControlNet, hintWidthsIn, toTheirs } from '../published/diffusers/index.ts'
import { behind, matched } from './arrays.ts'
import { namesIn, readJson, withComponent } from './component-files.ts'

/** ControlNets beside a model's U-Net. */

const scope = 'control'
export const controlLeaves = { hint: 'control/hint', scale: 'control/scale' } as const
/** What a step gives of it, where it is looked at. */
export const controlSeen = { down: (i: number) => `control/down.${i}`, middle: 'control/middle' } as const

export interface ControlRequest {
  /** [1 or count, C, H, W] in [0, 1], as large as the picture. */
  readonly hint: Value
  readonly scale: number
  /** Between which shares of the steps it counts. */
  readonly start: number
  readonly end: number
  /** Whether the prompt is left out of account: what is far from the data counts less, and nothing where guidance leads away from. */
  readonly guess: boolean
}

/** A step's factor. */
export const controlFeeds = ({ scale, start, end }: ControlRequest, step: number, steps: number): Values => {
  const counts = step / steps >= start && (step + 1) / steps <= end
  return { [controlLeaves.scale]: floats([], Float64Array.of(counts ? scale : 0)) }
}

/** From a tenth for the finest to one for the middle (diffusers' `guess_mode`). */
const guessed = (place: number, places: number): number => 10 ** (-1 + place / Math.max(places - 1, 1))

interface Asked {
  readonly x: Tensor
  readonly t: Tensor
  readonly context: Tensor | undefined
  readonly y: Tensor | undefined
  /** How many branches of guidance there are. */
  readonly count: number
  readonly guess: boolean
  readonly hint: Value
}

const copies = (x: Tensor, n: number): Tensor => (n === 1 ? x : concat(0, ...Array.from({ length: n }, () => x)))
const last = (x: Tensor | undefined, rows: number): Tensor | undefined =>
  x && part(x, 0, (x.shape[0] ?? 0) - rows, rows)

/** What the U-Net is given of it, for all branches of guidance. */
export const residualsOf = (config: ControlNetConfig, asked: Asked): Residuals => {
  const { x, t, count, guess, hint } = asked
  const rows = x.shape[0] ?? 1
  const apart = guess && count > 1
  const branches = apart ? 1 : count
  const seen = copies(input(controlLeaves.hint, float(rows, ...hint.shape.slice(1))), branches)
  const { context, y } = apart ? { context: last(asked.context, rows), y: last(asked.y, rows) } : asked
  const said = controlNet(scope, config)(copies(x, branches), copies(t, branches), seen, { context, y })
  const strength = input(controlLeaves.scale, float())
  const places = said.down.length + 1
  return scaledResiduals((residual, place) => {
    const own = pipe(residual, mul(strength), guess ? mul(guessed(place, places)) : (r) => r)
    return apart ? concat(0, ...Array.from({ length: count - 1 }, () => zerosLike(own)), own) : own
  })(said)
}

/** Under the names of steps' outputs. */
export const seenResiduals = ({ down, middle }: Residuals): Readonly<Record<string, Tensor>> => ({
  ...Object.fromEntries(down.map((residual, i) => [controlSeen.down(i), residual])),
  [controlSeen.middle]: middle,
})

export interface ReadControl {
  readonly config: ControlNetConfig
  /** By the names that the step's graph has for them. */
  readonly arrays: UnreadArrays
  readonly leftOver: readonly string[]
}

/** The network over the smallest inputs: which parameters there are. */
const graphOf = (config: ControlNetConfig) => {
  const side = 2 ** (config.channelMultipliers.length - 1)
  const pixels = side * 2 ** (config.hintWidths.length - 1)
  const { attention, classes, vector } = config
  const { down, middle } = controlNet('', config)(
    input('x', float(1, config.inChannels, side, side)),
    input('t', float(1)),
    input('hint', float(1, config.hintChannels, pixels, pixels)),
    {
      ...(attention.kind === 'transformer' ? { context: input('context', float(1, 1, attention.contextDim)) } : {}),
      ...(classes === null ? {} : { y: input('y', int(1)) }),
      ...(vector === undefined ? {} : { y: input('y', float(1, vector)) }),
    },
  )
  return freeze({ ...Object.fromEntries(down.map((x, i) => [`down.${i}`, x])), middle })
}

const readOf = (config: ControlNetConfig, layout: Layout, found: UnreadArrays, at: string): Effect<ReadControl> =>
  pipe(
    graphOf(config),
    E.flatMap((graph) => matched(graph, layout, found, at)),
    E.map(({ arrays, used }) => {
      const known = new Set(used)
      return {
        config,
        arrays: Object.fromEntries(Object.entries(arrays).map(([name, array]) => [`${scope}.${name}`, array])),
        leftOver: Object.keys(found).filter((key) => key.startsWith(originalPrefixes.controlNet) && !known.has(key)),
      }
    }),
    TE.fromEither,
  )

/** Opens a ControlNet's folder of diffusers. Errors: `config`, `file`. */
const withFolder = <A>(folder: string, variant: string | undefined, use: (read: ReadControl) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const path = join(folder, 'config.json')
    const { config } = await run(TE.fromEither(diffusersControlNet(await run(readJson(path)), path)))
    const layout = toTheirs(controlNetNames(config.controlNet, config.vectorLayers))
    return run(
      withComponent(folder, variant, ({ arrays }) =>
        pipe(readOf(config.controlNet, layout, arrays, folder), TE.flatMap(use)),
      ),
    )
  })

/** Opens an original file, with its configuration as data. Errors: `config`, `file`. */
const withFile = <A>(path: string, yaml: unknown, use: (read: ReadControl) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    if (!t.UnknownRecord.is(yaml))
      return run(
        TE.fromEither(fail('usage', '--control-config', 'the configuration of the ControlNet, in YAML', 'nothing')),
      )
    const { controlNet: declared } = await run(TE.fromEither(originalModel(yaml)))
    if (declared === undefined)
      return run(TE.fromEither(fail('config', path, 'a configuration with control_stage_config', 'none')))
    return run(
      withCheckpointFile(path, {}, ({ arrays: found }) => {
        const prefix = originalPrefixes.controlNet
        const prefixed = Object.keys(found).some((key) => key.startsWith(prefix)) ? prefix : ''
        const shapes = pipe(
          Object.fromEntries(
            Object.entries(found).flatMap(([key, array]) =>
              key.startsWith(prefixed) ? [[key.slice(prefixed.length), array] as const] : [],
            ),
          ),
          RR.map(({ shape }) => shape),
        )
        const config = { ...declared.network, hintWidths: hintWidthsIn(shapes) ?? declared.network.hintWidths }
        return pipe(readOf(config, behind(prefixed), found, path), TE.flatMap(use))
      }),
    )
  })

export interface ControlWhere {
  readonly path: string
  /** As data. */
  readonly yaml?: unknown
  readonly variant?: string
}
/** Opens a ControlNet for as long as `use` takes: a folder of diffusers, or an original file. */
export const withControlNet = <A>(
  { path, yaml, variant }: ControlWhere,
  use: (read: ReadControl) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    const names = await namesIn(path)()
    if (E.isLeft(names)) {
      await run(withSource(path, () => TE.right(undefined)))
      return run(withFile(path, yaml, use))
    }
    return names.right.includes('config.json')
      ? run(withFolder(path, variant, use))
      : run(
          TE.fromEither(
            fail(
              'file',
              path,
              'a folder with the config.json of a ControlNet, or an original file',
              `a folder of ${names.right.slice(0, 8).join(', ') || 'nothing'}`,
            ),
          ),
        )
  })
