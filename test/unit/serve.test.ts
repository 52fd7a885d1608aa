import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pngText } from '../../src/io/png-text.ts'
import { E, TE } from '../../src/prelude.ts'
import type { DrawingEvent, Drawn, TrainingEvent } from '../../src/serve/api.ts'
import { dataUrl } from '../../src/serve/coder.ts'
import { coding } from '../../src/serve/coding.ts'
import { galleryOf } from '../../src/serve/gallery.ts'
import { refusal } from '../../src/serve/guard.ts'
import { limits } from '../../src/serve/limits.ts'
import { openModel } from '../../src/serve/models.ts'
import { queueOf } from '../../src/serve/queue.ts'
import { jsonOf, settingsOf } from '../../src/serve/requests.ts'
import { follow, previewIn } from '../../src/serve/training.ts'
import { right } from '../arbitrary/run.ts'
import { fake, grey, listen, post, type Seen, serving, side, wanted } from './serve-fakes.ts'

const held = { folder: '' }
beforeAll(async () => {
  held.folder = await mkdtemp(join(tmpdir(), 'latentgraph-serve-'))
})
afterAll(() => rm(held.folder, { recursive: true }))

const eventsIn = (text: string): readonly DrawingEvent[] =>
  text.split('\n\n').flatMap((part) => (part.startsWith('data: ') ? [JSON.parse(part.slice(6))] : []))
const drawnIn = (text: string): Drawn => {
  const last = eventsIn(text).at(-1)
  if (last?.kind !== 'done') throw new Error(`not done: ${text.slice(-300)}`)
  return last.drawn
}
const listening = async (...given: Parameters<typeof serving>) => {
  const app = await serving(...given)
  return { app, port: await listen(app), sample: '/api/models/fake/sample' }
}
const base64 = async (value: number): Promise<string> => {
  return dataUrl(right(await coding.encode(grey(value))())).split(',')[1] ?? ''
}

describe('a drawing', () => {
  test('is told step by step, kept, and its files say what draws them again', async () => {
    const app = await serving('runs/a', fake())
    const { statusCode, payload, headers } = await app.inject({
      method: 'POST',
      url: '/api/models/fake/sample',
      payload: wanted,
    })
    expect([statusCode, headers['content-type']]).toEqual([200, 'text/event-stream'])
    expect(eventsIn(payload).map(({ kind }) => kind)).toEqual(['step', 'step', 'step', 'done'])
    const { pictures, command, program } = drawnIn(payload)
    expect(command).toBe(
      'npx latentgraph sample runs/a --prompt x --guidance 1.5 --steps 3 --sampler ddim --spacing trailing --seed 7 --count 2 --out drawn/',
    )
    expect(program).toContain('loadRun("runs/a")')
    const { rawPayload } = await app.inject(pictures[1] ?? '')
    expect(await sharp(rawPayload).raw().toBuffer()).toEqual(Buffer.from(grey(8).data))
    expect(JSON.parse(right(pngText(rawPayload, 'latentgraph', 'it')))).toMatchObject({
      run: 'runs/a',
      args: [
        ['--prompt', 'x'],
        ['--guidance', '1.5'],
        ['--steps', '3'],
        ['--sampler', 'ddim'],
        ['--spacing', 'trailing'],
        ['--seed', '7'],
        ['--count', '2'],
      ],
    })
    expect((await app.inject('/api/gallery')).json()).toHaveLength(1)
    expect((await app.inject('/api/gallery/1/3.png')).statusCode).toBe(404)
  })

  test('begins with a picture and a mask of the model’s size, which lie beside it', async () => {
    const app = await serving('r', fake())
    const from = { kind: 'picture', strength: 0.5, picture: await base64(9), mask: await base64(255) }
    const ask = (payload: object) => app.inject({ method: 'POST', url: '/api/models/fake/sample', payload })
    const drawn = drawnIn((await ask({ ...wanted, from })).payload)
    expect(drawn.settings.from).toEqual({ kind: 'picture', strength: 0.5 })
    expect(drawn.command).toContain('--from from.png --strength 0.5 --mask mask.png')
    expect((await app.inject(drawn.mask ?? '')).statusCode).toBe(200)
    const other = await sharp(Buffer.from(grey(1).data), { raw: { width: side, height: side, channels: 3 } })
      .resize(4, 4)
      .png()
      .toBuffer()
    for (const picture of ['', 'AAAA', other.toString('base64')])
      expect((await ask({ ...wanted, from: { ...from, picture } })).json().errors[0].at).toBe('/from/picture')
  })

  test('that fails by a bug says so to who asked, and the next is drawn', async () => {
    const said: string[] = []
    const app = await serving('r', fake(), { say: (line) => said.push(line) })
    const ask = (prompt: string) =>
      app.inject({ method: 'POST', url: '/api/models/fake/sample', payload: { ...wanted, prompt } })
    expect(eventsIn((await ask('a bug')).payload).at(-1)).toMatchObject({ kind: 'failed' })
    expect(said).toEqual(['a bug that was asked for\n'])
    expect(drawnIn((await ask('x')).payload).id).toBe('1')
  })

  test('stops within a step of a disconnect', async () => {
    const seen: Seen = { steps: 0, stopped: 0 }
    const { app, port, sample } = await listening('r', fake(seen, 10))
    await post(port, sample, JSON.stringify({ ...wanted, steps: 250 }), (text) => text.includes('"done":3'))
    const atEnd = seen.steps
    while (seen.stopped === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(seen.steps - atEnd).toBeLessThanOrEqual(3)
    await app.close()
  })

  test('waits for others in its place; one too many is refused', async () => {
    const { app, port, sample } = await listening('r', fake(undefined, 15))
    const body = JSON.stringify({ ...wanted, steps: 4 })
    const answers = await Promise.all(Array.from({ length: limits.waiting + 4 }, () => post(port, sample, body)))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(limits.waiting + 1)
    expect(statuses.filter((status) => status === 503)).toHaveLength(3)
    const places = answers.map(({ text }) => eventsIn(text).flatMap((e) => (e.kind === 'queued' ? [e.place] : [])))
    expect(Math.max(...places.flat())).toBe(limits.waiting)
    for (const told of places) expect(told).toEqual(told.toSorted((a, b) => b - a))
    await app.close()
  })
})

describe('settings', () => {
  const about = {
    ...{ name: 'm', condition: 'text', classes: [], samplers: ['ddim'], spacings: ['trailing'], examples: [] },
    ...{ defaults: { steps: 1, guidance: 1, sampler: 'ddim', seed: 0, count: 1 }, size: { width: 8, height: 8 } },
    most: { count: 16, steps: 250, guidance: 100, text: 10 },
  }
  const good = { ...wanted, prompt: 'a' }
  const at = (settings: unknown, model: Parameters<typeof settingsOf>[0] = about): readonly string[] => {
    const read = settingsOf(model, settings)
    return E.isLeft(read) ? read.left.map((e) => e.at) : []
  }
  test('every field is bounded, and every fault is told at its field', () => {
    expect(at(good)).toEqual([])
    const bad = {
      ...{ prompt: 'longer than ten', negative: '\ud800', count: 17, seed: 0.5, steps: 251, guidance: -1 },
      ...{ sampler: 'ddin', spacing: null, class: 'a', from: { kind: 'between', towards: -1 } },
    }
    expect(at({ ...good, ...bad }).toSorted()).toEqual(
      Object.keys(bad)
        .map((k) => (k === 'from' ? '/from/towards' : `/${k}`))
        .toSorted(),
    )
    expect(at({ ...good, guidance: 1, negative: 'b' })).toEqual(['/negative'])
    const { prompt: _, ...untold } = good
    expect(at(untold)).toEqual(['/prompt'])
    const classes = { ...about, condition: 'class', classes: ['a', 'b'] }
    expect(at(untold, classes)).toEqual(['/class'])
    expect(at({ ...untold, class: 'c' }, classes)).toEqual(['/class'])
    expect(at({ ...untold, class: 'b' }, classes)).toEqual([])
  })
  test('whatever JSON says is read or refused', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(good)), (value, key) => {
        settingsOf(about, value)
        settingsOf(about, { ...good, [key]: value })
      }),
    )
  })
  test('texts that are no JSON, or deeper than any settings, are refused', () => {
    expect(E.isLeft(jsonOf('{'))).toBe(true)
    expect(E.isLeft(jsonOf('['.repeat(1e6)))).toBe(true)
    expect(jsonOf('{"a":"[[[[[[[[[[\\"[[[[["}')).toEqual(E.right({ a: '[[[[[[[[[["[[[[[' }))
  })
})

test('one work at a time, in order; who leaves the queue lets the others up', async () => {
  const queue = queueOf(2)
  const log: string[] = []
  const enter = (name: string, signal = new AbortController().signal) =>
    queue.enter({
      signal,
      onPlace: (place) => log.push(`${name}${place}`),
      work: async () => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        log.push(name)
      },
    })
  const left = new AbortController()
  const all = [enter('a'), enter('b', left.signal), enter('c')]
  expect(enter('d')).toBeUndefined()
  left.abort()
  await Promise.all(all)
  expect(log).toEqual(['b1', 'c2', 'c1', 'a', 'c'])
})

test('the gallery forgets the oldest, by number and by bytes', () => {
  const gallery = galleryOf({ entries: 3, bytes: 100 })
  const add = (bytes: number) =>
    gallery.add({ '1.png': new Uint8Array(bytes) }, (id) => ({
      ...{ id, model: 'm', pictures: [], command: '', program: '' },
      settings: { count: 1, seed: 1, steps: 1, guidance: 1, sampler: 'ddim' },
    })).id
  for (const bytes of [1, 1, 1, 1]) add(bytes)
  expect(gallery.all().map(({ id }) => id)).toEqual(['4', '3', '2'])
  add(99)
  expect(gallery.all().map(({ id }) => id)).toEqual(['5', '4'])
  add(500)
  expect(gallery.file('6', '1.png')).toHaveLength(500)
  expect(gallery.file('5', '1.png')).toBeUndefined()
})

describe('who may ask', () => {
  test.each<readonly [string, Parameters<typeof refusal>[0], string, string | undefined]>([
    ['this machine', { host: 'localhost:80' }, '127.0.0.1', undefined],
    ['this machine by number', { host: '127.0.0.1' }, '127.0.0.1', undefined],
    ['this machine by the other number', { host: '[::1]:80' }, '::1', undefined],
    ['no host', {}, '127.0.0.1', 'Host'],
    ['another port', { host: 'localhost:81' }, '127.0.0.1', 'Host'],
    ['a name that was made to resolve here', { host: 'evil.example' }, '127.0.0.1', 'Host'],
    ['the same, where others may come', { host: 'evil.example' }, '0.0.0.0', 'Host'],
    ['a number, where others may come', { host: '192.168.1.5' }, '0.0.0.0', undefined],
    ['a number, where none may', { host: '192.168.1.5' }, '127.0.0.1', 'Host'],
    ['the name it was told', { host: 'box.local' }, 'box.local', undefined],
    ['the own page', { host: 'localhost', origin: 'http://localhost' }, '127.0.0.1', undefined],
    ['a foreign page', { host: 'localhost', origin: 'http://evil.example' }, '127.0.0.1', 'Origin'],
    ['a file', { host: 'localhost', origin: 'null' }, '127.0.0.1', 'Origin'],
    [
      'a foreign page without a word',
      { host: 'localhost', 'sec-fetch-site': 'cross-site' },
      '127.0.0.1',
      'Sec-Fetch-Site',
    ],
  ])('%s', (_, asking, listens, expected) => expect(refusal(asking, { listens, port: 80 })?.at).toBe(expected))

  test('every answer has the policy, none allows other origins', async () => {
    const app = await serving('r', fake())
    for (const url of ['/', '/api/models', '/nowhere', '/../package.json', '/%2e%2e/x']) {
      const { headers, statusCode } = await app.inject(url)
      expect([statusCode, headers['content-security-policy']]).toEqual([
        url === '/' || url === '/api/models' ? 200 : 404,
        expect.stringContaining("default-src 'none'"),
      ])
      expect(headers).not.toHaveProperty('access-control-allow-origin')
    }
    const foreign = { method: 'POST', url: '/api/models/fake/sample', payload: JSON.stringify(wanted) } as const
    expect((await app.inject({ ...foreign, headers: { 'content-type': 'text/plain' } })).statusCode).toBe(415)
  })
})

test('slow requests are cut: when, says how often connections are looked at', async () => {
  const cutAfter = async (checking: number): Promise<number> => {
    const { app, port } = await listening('r', fake(), { times: { headers: 50, request: 60, checking } })
    const began = performance.now()
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('POST /api/models HTTP/1.1\r\nHost: x\r\n'))
      socket.on('error', () => undefined)
      socket.resume()
      socket.on('close', () => resolve())
    })
    await app.close()
    return performance.now() - began
  }
  const [often, seldom] = [await cutAfter(20), await cutAfter(900)]
  expect(seldom).toBeGreaterThan(600)
  expect(often).toBeLessThan(seldom)
})

test('pictures come in at the model’s size; what is none, or too large, or can name files, is refused', async () => {
  const app = await serving('r', fake())
  const ask = async (payload: Buffer) =>
    app.inject({
      method: 'POST',
      url: '/api/models/fake/picture',
      payload,
      headers: { 'content-type': 'application/octet-stream' },
    })
  const blank = (width: number, height: number) =>
    sharp({ create: { width, height, channels: 3, background: '#406080' } })
      .png()
      .toBuffer()
  const taken = await ask(await blank(40, 20))
  expect(taken.json()).toMatchObject({ psnr: expect.any(Number), picture: expect.stringMatching(/^data:image\/png/) })
  expect((await ask(await blank(8000, 5000))).json().errors[0].expected).toContain('pixels')
  for (const bytes of [
    Buffer.from('no picture'),
    Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'),
  ])
    expect((await ask(bytes)).statusCode).toBe(422)
  expect((await ask(Buffer.alloc(limits.picture + 1))).statusCode).toBe(413)
})

describe('a training', () => {
  const run = async (): Promise<string> => {
    const dir = await mkdtemp(join(held.folder, 'run-'))
    await mkdir(join(dir, 'diffusion/previews'), { recursive: true })
    await copyFile(join(import.meta.dirname, '../../graphs/tiny.json'), join(dir, 'experiment.json'))
    await writeFile(join(dir, 'diffusion/metrics.jsonl'), '{"step":1,"loss":2}\n{"step":2,"lo')
    return dir
  }
  const name = 'step-00000002-samples.png'

  test('is told as its folder grows: whole lines, each once; previews as they come', async () => {
    const dir = await run()
    const told: TrainingEvent[] = []
    const left = new AbortController()
    const following = follow(
      dir,
      (stage, file) => `${stage}/${file}`,
      async (event) => void told.push(event),
      left.signal,
      10,
    )()
    const until = async (is: () => boolean): Promise<void> => {
      while (!is()) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await until(() => told.length === 2)
    await writeFile(
      join(dir, 'diffusion/metrics.jsonl'),
      '{"step":1,"loss":2}\n{"step":2,"loss":1}\nno JSON\n{"step":3}\n',
    )
    await writeFile(join(dir, 'diffusion/previews', name), 'png')
    await until(() => told.length === 4)
    left.abort()
    right(await following)
    expect(told).toEqual([
      {
        kind: 'stages',
        living: false,
        stages: [
          { name: 'first-stage', steps: 12 },
          { name: 'diffusion', steps: 12 },
        ],
      },
      { kind: 'points', stage: 'diffusion', fresh: true, points: [{ step: 1, loss: 2 }] },
      { kind: 'points', stage: 'diffusion', fresh: false, points: [{ step: 2, loss: 1 }, { step: 3 }] },
      { kind: 'preview', stage: 'diffusion', step: 2, shows: 'samples', url: `diffusion/${name}` },
    ])
  })

  test('that goes on is drawn by as of its newest checkpoint', async () => {
    const dir = await run()
    const checkpoint = (step: string) => mkdir(join(dir, 'diffusion/checkpoints', `step-${step}`), { recursive: true })
    const opened: string[] = []
    const load = () => {
      const name = `${opened.length}`
      opened.push(name)
      return TE.right({ ...fake(), dispose: () => void opened.push(`without ${name}`) })
    }
    await checkpoint('00000004')
    const model = right(await openModel({ run: dir, id: 'r' }, load)())
    const first = await model.newest()
    expect(opened).toEqual(['0'])
    await checkpoint('00000008')
    expect(model.loaded()).toBe(first)
    expect(await model.newest()).not.toBe(first)
    expect(await model.newest()).toBe(model.loaded())
    expect(opened).toEqual(['0', '1', 'without 0'])
    expect(await model.view()).toMatchObject({ step: 8, growing: false })
  })

  test('nothing outside of its folder is served', async () => {
    const dir = await run()
    const secret = join(held.folder, 'secret.png')
    await writeFile(secret, 'secret')
    await writeFile(join(dir, 'diffusion/previews', name), 'own')
    expect(new TextDecoder().decode(await previewIn(dir, 'diffusion', name))).toBe('own')
    await symlink(secret, join(dir, 'diffusion/previews/step-00000003-samples.png'))
    await symlink(held.folder, join(dir, 'first-stage'))
    await mkdir(join(held.folder, 'previews'))
    await writeFile(join(held.folder, 'previews', name), 'secret')
    for (const [stage, file] of [
      ['diffusion', 'step-00000003-samples.png'],
      ['first-stage', name],
      ['diffusion', '../../experiment.json'],
      ['..', name],
      ['log', name],
    ] as const)
      expect(await previewIn(dir, stage, file)).toBeUndefined()
  })
})
