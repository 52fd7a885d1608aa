import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { executorByName } from '../../src/execute/auto.ts'
import type { Executor, Values } from '../../src/execute/executor.ts'
import { type Group, join as joinGroup } from '../../src/execute/ranks/group.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import type { Experiment } from '../../src/experiment/document.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { followIn } from '../../src/run/follow.ts'
import { inRunFolder } from '../../src/run/run-folder.ts'
import { trainIn } from '../../src/run/train.ts'
import { right } from '../arbitrary/run.ts'
import { dots } from '../dots.ts'
import { freePort } from '../free-port.ts'

/**
 * Ranks of one training, each with an engine that computes the whole batch: what several processes do but the sums over devices, which no
 * plugin for the CPU makes over processes.
 */

const wait = { join: 60_000, hello: 60_000, beat: 1000, silence: 60_000, leave: 5000 }
const groups = async (ranks: number): Promise<readonly Group[]> => {
  const port = await freePort()
  const all = Array.from({ length: ranks }, (_, rank) =>
    joinGroup({ coordinator: { host: '127.0.0.1', port }, rank, ranks }, '1', wait)(),
  )
  return (await Promise.all(all)).map(right)
}

/** Resolves once both of two have called so often: what the sums of a step over devices do. */
type Meeting = () => Promise<void>
const meetings = (): readonly [Meeting, Meeting] => {
  const waiting: (() => void)[][] = [[], []]
  const meeting = (own: number, other: number) => (): Promise<void> =>
    new Promise((resolve) => {
      const there = waiting[other]?.shift()
      if (there === undefined) waiting[own]?.push(resolve)
      else {
        there()
        resolve()
      }
    })
  return [meeting(0, 1), meeting(1, 0)]
}

/** An executor that tells what each step of a training is fed, and meets the others before it. */
const watched = async (onStep: (feeds: string) => void, meet: Meeting = async () => {}): Promise<Executor> => {
  const engine = right(await executorByName('onnx:cpu')())
  const told = (feeds: Values): string => {
    const hash = createHash('sha256')
    for (const [name, { data }] of Object.entries(feeds).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    return hash.digest('hex')
  }
  return {
    ...engine,
    compile: (graph, options) =>
      pipe(
        engine.compile(graph, options),
        TE.map((executable) => ({
          ...executable,
          start: (carry, initial) =>
            pipe(
              executable.start(carry, initial),
              TE.map(({ ahead: _ahead, ...stepper }) => ({
                ...stepper,
                step: (feeds) => {
                  if (options.mode !== 'training') return stepper.step(feeds)
                  onStep(told(feeds))
                  return pipe(
                    TE.fromTask(meet),
                    TE.chain(() => stepper.step(feeds)),
                  )
                },
              })),
            ),
        })),
      ),
  }
}

const experimentOf = (changes: object = {}): Experiment =>
  right(
    decodeExperiment({
      ...dots,
      seed: 4,
      firstStage: {
        kind: 'kl',
        network: {
          ...{ inChannels: 3, outChannels: 3, resolution: 16, channels: 32, channelMultipliers: [1, 1], resBlocks: 1 },
          ...{ attention: 'none', zChannels: 3, latentChannels: 3 },
        },
        loss: { klWeight: 0.01 },
        training: {
          ...{ steps: 3, batchSize: 2, flip: true, checkpointEvery: 2, previewEvery: 3 },
          ...{ optimizer: { kind: 'adam' }, learningRate: { kind: 'constant', rate: 1e-3 } },
        },
      },
      diffusion: {
        ...dots.diffusion,
        training: {
          ...{ steps: 4, batchSize: 2, accumulate: 2, previewEvery: 4, checkpointEvery: 2 },
          ...{ optimizer: { kind: 'adam' }, learningRate: { kind: 'constant', rate: 1e-3 } },
          validate: { every: 2, pictures: 4, monitor: { metric: 'val/loss_simple', use: 'best' } },
        },
      },
      ...changes,
    }),
  )
const held: { place?: string } = {}
const at = (...path: readonly string[]): string => join(held.place ?? expect.unreachable('no place'), ...path)
const { TMPDIR: temporary } = process.env
beforeAll(async () => {
  held.place = await mkdtemp(join(tmpdir(), 'latentgraph-ranks-'))
  process.env.TMPDIR = at('temporary')
  await mkdir(at('temporary'))
})
afterAll(async () => {
  if (temporary === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = temporary
  if (held.place !== undefined) await rm(held.place, { recursive: true })
})

interface Watching {
  readonly group?: Group
  readonly resume?: boolean
  readonly onStep?: (n: number) => unknown
  readonly meet?: Meeting
  readonly stopping?: () => boolean
}
const lead = async (
  out: string,
  e: Experiment,
  { group, resume = false, onStep, meet, stopping = () => false }: Watching = {},
) => {
  const fed: string[] = []
  const executor = await watched((feeds) => {
    fed.push(feeds)
    onStep?.(fed.length)
  }, meet)
  const ended = await inRunFolder({ file: e.name, out: at(out), resume }, (owned) =>
    trainIn({
      ...{ experiment: e, owned, dir: out, resume, executor, stopping, tell: () => TE.right(undefined) },
      ...(group === undefined ? {} : { group }),
    }),
  )()
  return { fed, ended }
}
const followed = async (group: Group, e: Experiment, { onStep = () => {}, meet }: Watching = {}) => {
  const fed: string[] = []
  const executor = await watched((feeds) => {
    fed.push(feeds)
    onStep(fed.length)
  }, meet)
  return { ended: await followIn({ experiment: e, executor, group })(), fed }
}
const two = async (): Promise<readonly [Group, Group]> => {
  const [first, second] = await groups(2)
  return first === undefined || second === undefined ? expect.unreachable('no group') : [first, second]
}
/** The last weights of a stage, byte for byte. */
const weights = (run: string, stage: string, step: string): Promise<string> =>
  readFile(at(run, stage, 'checkpoints', `step-0000000${step}`, 'parameters.safetensors'), 'base64')

describe('two ranks', () => {
  test('take the steps that one takes, fed with the same, and rank 0 alone writes', async () => {
    const e = experimentOf()
    const [zero, one] = await two()
    const [alone, led, following] = [
      await lead('alone', e),
      ...(await Promise.all([lead('led', e, { group: zero }), followed(one, e)])),
    ] as const
    expect([alone.ended, led.ended, following.ended].map(({ _tag }) => _tag)).toEqual(['Right', 'Right', 'Right'])
    expect(alone.fed.length, 'at least one feeding a step').toBeGreaterThanOrEqual(3 + 4)
    expect(led.fed).toEqual(alone.fed)
    expect(following.fed).toEqual(alone.fed)
    for (const [stage, step] of [
      ['first-stage', '3'],
      ['diffusion', '4'],
    ] as const)
      expect(await weights('led', stage, step)).toBe(await weights('alone', stage, step))
    expect((await readdir(at())).toSorted()).toEqual(['alone', 'led', 'temporary'])
    expect(await readdir(at('temporary'))).toEqual([])
  })

  test('stop together behind a checkpoint, and go on together', async () => {
    const e = experimentOf()
    const [zero, one] = await two()
    const [first, second] = meetings()
    const [led, following] = await Promise.all([
      lead('cut', e, { group: zero, meet: first }),
      followed(one, e, { meet: second, onStep: (n) => n === 5 && one.askStop() }),
    ])
    expect([led.ended, following.ended]).toMatchObject([{ left: [{ tag: 'stopped' }] }, { left: [{ tag: 'stopped' }] }])
    const [again, other] = await two()
    const [resumed, followedOn] = await Promise.all([
      lead('cut', e, { group: again, resume: true }),
      followed(other, e),
    ])
    expect([resumed.ended, followedOn.ended].map(({ _tag }) => _tag)).toEqual(['Right', 'Right'])
    expect(followedOn.fed).toEqual(resumed.fed)
    expect(await weights('cut', 'diffusion', '4')).toBe(await weights('alone', 'diffusion', '4'))
  })

  test('end with one error where one of them goes, and what was written is whole', async () => {
    const e = experimentOf()
    const [zero, one] = await two()
    const [first, second] = meetings()
    const [led, following] = await Promise.all([
      lead('lost', e, { group: zero, meet: first }),
      followed(one, e, { meet: second, onStep: (n) => n === 3 && one.fail('a lost card') }),
    ])
    expect(led.ended).toMatchObject({
      left: [
        {
          tag: 'run',
          at: expect.stringContaining('rank 0 of 2'),
          expected: 'rank 1 to stay to the end',
          got: expect.stringContaining('a lost card'),
        },
      ],
    })
    expect(E.isLeft(following.ended)).toBe(true)
    expect(existsSync(at('lost', 'experiment.json'))).toBe(true)
    expect((await readdir(at('lost'), { recursive: true })).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('are of one experiment, and of the same pictures', async () => {
    for (const [other, what] of [
      [experimentOf({ seed: 5 }), 'the experiment as rank 0 has it'],
      [
        { ...experimentOf(), data: experimentOf({ data: { ...dots.data, count: 30 } }).data },
        'the experiment as rank 0 has it',
      ],
    ] as const) {
      const [zero, one] = await two()
      const [led, following] = await Promise.all([
        lead(`other-${what.length}-${other.seed}`, experimentOf(), { group: zero }),
        followed(one, other),
      ])
      expect(following.ended).toMatchObject({ left: [{ tag: 'training', at: 'rank 1 of 2', expected: what }] })
      expect(led.ended).toMatchObject({ left: [{ expected: 'rank 1 to stay to the end' }] })
    }
  })
})
