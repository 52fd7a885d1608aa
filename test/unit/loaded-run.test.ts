import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exportWeb } from '../../src/cli/export-web.ts'
import { sampleRun } from '../../src/cli/sample-run.ts'
import { showErrors } from '../../src/error.ts'
import type { Executor } from '../../src/execute/executor.ts'
import { floats } from '../../src/execute/executor.ts'
import { keeping } from '../../src/execute/keeping.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { float, freeze, input, loadRun, orThrow, pipe, reference, sum } from '../../src/index.ts'
import { readPicture } from '../../src/io/images.ts'
import { grid, type Picture, picturesOf } from '../../src/io/pictures.ts'
import { E, TE } from '../../src/prelude.ts'
import { loaded } from '../../src/run/handle.ts'
import type { LoadedRun } from '../../src/run/loaded.ts'
import { openedOf } from '../../src/run/own.ts'
import type { Options } from '../../src/run/sample-options.ts'
import { drawnOf, inMemory } from '../../src/serve/static.ts'
import type { Part, Site } from '../../src/serve/static-files.ts'
import { right } from '../arbitrary/run.ts'
import { writeSmallModel } from '../published-model.ts'

/** A run in a program: the model of shapes that comes with the project, a few steps at a time. */

const folder = join(import.meta.dirname, '../../packages/models/shapes')
const asked = { prompt: 'a red circle left of a blue square', count: 2, seed: 3, steps: 3 }
const held: { run?: LoadedRun; dir?: string; drawn?: readonly Picture[] } = {}
const run = (): LoadedRun => held.run ?? expect.unreachable('no run')
const drawn = (): readonly Picture[] => held.drawn ?? expect.unreachable('nothing drawn')
beforeAll(async () => {
  held.dir = await mkdtemp(join(tmpdir(), 'latentgraph-run-'))
  held.run = await orThrow(loadRun(folder, { executor: 'onnx:cpu' }))
  held.drawn = await orThrow(run().sample(asked))
}, 60_000)
afterAll(async () => {
  held.run?.dispose()
  if (held.dir !== undefined) await rm(held.dir, { recursive: true })
})

const silent = { out: () => {}, err: () => {} }
/** What the command line writes, picture by picture. */
const typed = async (name: string, options: Options): Promise<readonly Picture[]> => {
  const out = `${join(held.dir ?? '', name)}/`
  const files = await orThrow(sampleRun(folder, { ...options, executor: 'onnx:cpu', out }, silent))
  return Promise.all(files.map((file) => orThrow(readPicture(file))))
}

describe('drawing', () => {
  test('gives the picture of the command line for the same seed and settings, to the byte', async () => {
    expect(drawn()).toEqual(await typed('noise', { ...asked, prompt: [asked.prompt] }))
    const [picture] = drawn()
    if (picture === undefined) return expect.unreachable('nothing drawn')
    const from = { picture, strength: 0.6 }
    expect(await orThrow(run().sample({ ...asked, from }))).toEqual(
      await typed('from', {
        ...asked,
        prompt: [asked.prompt],
        from: join(held.dir ?? '', 'noise', '1.png'),
        strength: 0.6,
      }),
    )
    expect(await orThrow(run().sample({ ...asked, from: { towards: 9, shares: [0, 1] } }))).toEqual(
      await typed('between', { ...asked, prompt: [asked.prompt], interpolate: 9 }),
    )
  })
  test('whoever watches sees where it goes, and changes nothing', async () => {
    const seen: (readonly Picture[])[] = []
    const watched = await orThrow(
      run().sample({ ...asked, onStep: async ({ predicted }) => void seen.push(await orThrow(predicted())) }),
    )
    expect(watched).toEqual(drawn())
    expect(seen.map((pictures) => pictures.length)).toEqual([2, 2, 2])
    expect(seen[2]).not.toEqual(seen[0])
  })
  test('an abort ends it within a step, and the run goes on', async () => {
    const control = new AbortController()
    const steps: number[] = []
    const onStep = ({ done }: { readonly done: number }): void => {
      steps.push(done)
      if (done === 2) control.abort()
    }
    const ended = await run().sample({ ...asked, signal: control.signal, onStep })()
    expect(ended).toMatchObject({ left: [{ tag: 'stopped' }] })
    expect(steps).toEqual([1, 2])
    expect(await orThrow(run().sample(asked))).toEqual(drawn())
  })
  test('calls at once are served one after the other', async () => {
    const [a, b] = await Promise.all([orThrow(run().sample(asked)), orThrow(run().sample(asked))])
    expect([a, b]).toEqual([drawn(), drawn()])
  })
  test.each([
    [{ prompt: 'a', steps: 0 }, ['steps']],
    [{ prompt: 'a', steps: 2000 }, ['steps']],
    [{ prompt: 'a', guidance: -1, seed: 0.5, count: 0 }, ['count', 'seed', 'guidance']],
    [{ prompt: 'a', sampler: 'ddmi', spacing: 'wide' }, ['sampler', 'spacing']],
    [{ prompt: 'a', from: { towards: 1, shares: [0, 2] } }, ['from.shares[1]']],
    [{ prompt: 'a', from: { picture: { width: 2, height: 2, data: new Uint8Array(3) } } }, ['from.picture']],
    [{ class: 'dog' }, ['class']],
    [{}, ['prompt']],
    [{ prompt: 'a', size: { width: 64, height: 64 } }, ['size']],
  ])('what is asked wrongly is named by its field: %j', async (request, at) => {
    expect(await run().sample(request)()).toMatchObject({ left: at.map((field) => ({ at: field })) })
  })
})

describe('the first stage', () => {
  test('a picture encoded and decoded is the picture reconstructed', async () => {
    const latents = await orThrow(run().encode(drawn()))
    expect(latents.shape).toEqual([2, 4, 8, 8])
    expect(await orThrow(run().decode(latents))).toEqual(await orThrow(run().reconstruct(drawn())))
  })
  test('a run that has no diffusion stage, or has not come to it, says which', async () => {
    const whole = JSON.parse(await readFile(join(import.meta.dirname, '../../graphs/tiny.json'), 'utf8'))
    const { diffusion: _, sampling: __, ...alone } = whole
    const said = async (name: string, declared: object) => {
      const dir = join(held.dir ?? '', name)
      await mkdir(dir)
      await writeFile(join(dir, 'experiment.json'), JSON.stringify(declared))
      return loadRun(dir)()
    }
    expect(await said('begun', whole)).toMatchObject({
      left: [{ tag: 'training', got: 'one whose first stage is not done' }],
    })
    expect(await said('alone', alone)).toMatchObject({
      left: [{ tag: 'file', got: 'a first stage alone' }],
    })
  })
  test('a field that a request does not have is told, as a program without types may write it', async () => {
    const request = { ...asked, stpes: 2 }
    expect(await run().sample(request)()).toMatchObject({
      left: [{ tag: 'usage', at: 'stpes', hint: 'did you mean "steps"?' }],
    })
  })
  test('latents of another shape are refused', async () => {
    expect(await run().decode(floats([4], new Float32Array(4)))()).toMatchObject({ left: [{ at: 'latents' }] })
  })
})

describe('what the objective says', () => {
  test('a seed says it, averaged over pictures; of what is shown less where it is told', async () => {
    const pictures = drawn()
    const told = { pictures, prompt: asked.prompt }
    const losses = await orThrow(run().loss({ ...told, seed: 4 }))
    expect(losses).toEqual(await orThrow(run().loss({ ...told, prompt: pictures.map(() => asked.prompt), seed: 4 })))
    expect(losses).toMatchObject({ loss: expect.any(Number) })
    const [a, b] = await Promise.all([told, { pictures, prompt: 'three green triangles' }].map((of) => mean(of)))
    expect(a).toBeLessThan(b ?? 0)
  })
  const mean = async (of: Parameters<LoadedRun['loss']>[0]): Promise<number> => {
    const all = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => orThrow(run().loss({ ...of, seed }))))
    return all.reduce((sum, { loss = Number.NaN }) => sum + loss / all.length, 0)
  }
  test.each([
    [{ prompt: ['a', 'b', 'c'] }, 'prompt'],
    [{ class: 1 }, 'class'],
  ])('what does not fit is named: %j', async (request, at) => {
    expect(await run().loss({ pictures: drawn(), ...request })()).toMatchObject({ left: [{ tag: 'usage', at }] })
  })
})

/** As files of a page, without a browser: what a page reads of them draws what the run draws. */
describe('as files of a page', () => {
  const at = (...names: readonly string[]): string => join(held.dir ?? '', ...names)
  const put = (from: string, out: string) => exportWeb(from, out, { half: true, page: at('page') }, silent)()
  beforeAll(async () => {
    await mkdir(at('page'))
    await writeFile(at('page/index.html'), '<head><meta name="latentgraph" content="with a server" /></head>')
    right(await put(folder, at('site')))
  }, 60_000)
  const siteOf = async (): Promise<Site> => JSON.parse(await readFile(at('site/site.json'), 'utf8'))
  const textsOf = (value: unknown): readonly string[] =>
    typeof value === 'string'
      ? [value]
      : typeof value === 'object' && value !== null
        ? Object.values(value).flatMap(textsOf)
        : []
  test('there is all that it needs, and no folder of this machine is told', async () => {
    const site = await siteOf()
    const parts = [site.diffusion, site.firstStage, ...Object.values(site.engines).map(({ binary }) => binary)]
    const named = Object.values(site.engines).flatMap(({ script, module }) => [script, module])
    expect(await readdir(at('site'))).toEqual(
      expect.arrayContaining([...named, ...parts.map((part) => part?.file), 'index.html', '_headers']),
    )
    for (const part of parts) expect((await stat(at('site', part?.file ?? ''))).size).toBe(part?.bytes)
    expect(textsOf([site.experiment, site.model]).filter(isAbsolute)).toEqual([])
    expect(await readFile(at('site/index.html'), 'utf8')).toMatch(/Content-Security-Policy.*content="alone"/)
  })
  test('they draw what the run draws, to the byte', async () => {
    const site = await siteOf()
    const bytesOf = (part: Part | undefined) => readFile(at('site', part?.file ?? ''))
    const weights = { diffusion: await bytesOf(site.diffusion), firstStage: await bytesOf(site.firstStage) }
    const kept = { programs: 4, bytes: 2 ** 30 }
    const alone = loaded(openedOf(inMemory, right(drawnOf(site, weights))), onnx('cpu'), kept)
    expect(await orThrow(alone.sample(asked))).toEqual(drawn())
    alone.dispose()
  })
  test('nothing else is written over, and a published model is refused', async () => {
    const refused = async (from: string, out: string): Promise<string> => {
      const ended = await put(from, out)
      return E.isLeft(ended) ? showErrors(ended.left) : ''
    }
    await mkdir(at('mine'))
    await writeFile(at('mine/letter.txt'), 'dear')
    expect(await refused(folder, at('mine'))).toMatch(/^--web\n.*a new folder.*\n.*letter\.txt/)
    expect(await readdir(at('mine'))).toEqual(['letter.txt'])
    await writeSmallModel(at('published'))
    expect(await refused(at('published'), at('none'))).toMatch(
      /^--web\n.*a run that was trained here\n.*a published model/,
    )
    expect(await readdir(held.dir ?? '')).not.toContain('none')
  })
})

test('after its end everything is an error', async () => {
  const other = await orThrow(loadRun(folder))
  other.dispose()
  expect(await other.sample(asked)()).toMatchObject({ left: [{ tag: 'run' }] })
})
test('no run there is said, and thrown as one error', async () => {
  await expect(orThrow(loadRun(held.dir ?? ''))).rejects.toThrow('the folder of a run')
})

/** An engine that counts what it compiles and what of it lives. */
const counted = () => {
  const count = { compiled: 0, alive: 0 }
  const engine: Executor = {
    name: 'counted',
    compile: (graph, options) =>
      pipe(
        reference.compile(graph, options),
        TE.map((program) => {
          count.compiled += 1
          count.alive += 1
          return {
            ...program,
            dispose: () => {
              count.alive -= 1
              program.dispose()
            },
          }
        }),
      ),
  }
  return { engine, count }
}
const sumOf = (n: number) => orThrow(freeze({ y: pipe(input('x', float(n)), sum()) }))

test('law: a keeping executor compiles a graph once while it is kept, keeps no more than it may, and ends all', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 4 }),
      async (sizes, programs) => {
        const { engine, count } = counted()
        const { executor, dispose } = keeping(engine, { programs, bytes: 1e9 })
        const recent: number[] = []
        let misses = 0
        for (const n of sizes) {
          const at = recent.indexOf(n)
          if (at < 0) misses += 1
          else recent.splice(at, 1)
          recent.push(n)
          if (recent.length > programs) recent.shift()
          const program = await orThrow(executor.compile(sumOf(n), { mode: 'sampling' }))
          expect((await orThrow(program.run({ x: floats([n], new Float32Array(n).fill(1)) }))).y?.data[0]).toBe(n)
          program.dispose()
          expect(await program.run({})()).toMatchObject({ left: [{ tag: 'run' }] })
          expect(count).toEqual({ compiled: misses, alive: recent.length })
        }
        dispose()
        expect(count.alive).toBe(0)
      },
    ),
    { numRuns: 20 },
  )
})

test('law: a grid has each picture where it belongs, and the colour of the gaps elsewhere', () => {
  fc.assert(
    fc.property(
      fc.record({
        n: fc.integer({ min: 1, max: 6 }),
        columns: fc.integer({ min: 1, max: 4 }),
        gap: fc.integer({ min: 0, max: 2 }),
        scale: fc.integer({ min: 1, max: 2 }),
      }),
      ({ n, ...options }) => {
        const [width, height] = [2, 3]
        const pictures = Array.from(
          { length: n },
          (_, k): Picture => ({ width, height, data: new Uint8Array(18).fill(10 * k) }),
        )
        const { width: wide, height: high, data } = orThrow(grid(pictures, options))
        const { columns, gap, scale } = options
        expect([wide, high]).toEqual([
          gap + columns * (2 * scale + gap),
          gap + Math.ceil(n / columns) * (3 * scale + gap),
        ])
        for (let y = 0; y < high; y++)
          for (let x = 0; x < wide; x++) {
            const [column, row] = [Math.floor((x - gap) / (2 * scale + gap)), Math.floor((y - gap) / (3 * scale + gap))]
            const [dx, dy] = [x - gap - column * (2 * scale + gap), y - gap - row * (3 * scale + gap)]
            const inside = x >= gap && y >= gap && dx < 2 * scale && dy < 3 * scale && row * columns + column < n
            expect(data[3 * (y * wide + x)]).toBe(inside ? 10 * (row * columns + column) : 255)
          }
      },
    ),
    { numRuns: 30 },
  )
})
test('values beyond [-1, 1] are clamped, one that is none is magenta', () => {
  const [picture] = orThrow(
    picturesOf(Float32Array.of(-2, 2, Number.NaN, 0), { n: 1, channels: 1, height: 1, width: 4 }),
  )
  expect(Array.from(picture?.data ?? [])).toEqual([0, 0, 0, 255, 255, 255, 255, 0, 255, 128, 128, 128])
})
