import { spawnSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { asArgument } from '../../src/io/names.ts'
import { running } from '../command-line.ts'
import { dots } from '../dots.ts'
import { compiled } from './program.ts'

/** The way to one's own model, on pictures of 16 pixels: what is seen of it before it is trained. */

const experiment = {
  ...dots,
  data: { ...dots.data, count: 12, heldOut: 2 },
  diffusion: {
    ...dots.diffusion,
    training: {
      steps: 4000,
      batchSize: 2,
      optimizer: { kind: 'adam' },
      learningRate: { kind: 'warm-up-cosine', rate: 1e-3, warmUp: 100 },
      validate: { every: 500, pictures: 2 },
    },
  },
}

const state = { folder: '', temporary: process.env.TMPDIR }
const at = (...path: readonly string[]): string => join(state.folder, ...path)
beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-starting-'))
  process.env.TMPDIR = state.folder
  await writeFile(at('dots.json'), JSON.stringify(experiment))
})
afterAll(async () => {
  if (state.temporary === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = state.temporary
  await rm(state.folder, { recursive: true })
})

test('a dry run does everything once, goes on after a stop, and keeps nothing', async () => {
  const { code, out, err } = await running('train', at('dots.json'), '--dry-run')
  expect(code, err).toBe(0)
  expect(out).toMatch(/^all of it works, in \d/)
  const told = err.split('\n').filter((line) => /^(diffusion:|going on|samples)/.test(line))
  expect(told.map((line) => line.replace(/loss .*/, 'loss'))).toEqual([
    'diffusion: step 1, loss',
    'diffusion: saved after step 1',
    'going on where it was stopped',
    'diffusion: validated after step 1',
    'diffusion: preview after step 1',
    'diffusion: step 2, loss',
    'diffusion: validated after step 2',
    'diffusion: saved after step 2',
    'diffusion: preview after step 2',
    'samples and report written',
  ])
  expect(await readdir(state.folder)).toEqual(['dots.json'])
})

test('a dry run that fails says why, and keeps nothing', async () => {
  const nowhere = '/data={"kind":"folder","path":"nowhere","size":16}'
  const { code, err } = await running('train', at('dots.json'), '--dry-run', '--set', nowhere)
  expect(code).toBe(1)
  expect(err).toContain(at('nowhere'))
  expect(await readdir(state.folder)).toEqual(['dots.json'])
  expect(await readFile(at('dots.json'), 'utf8')).toBe(JSON.stringify(experiment))
})

const draw = async (path: string, size: number): Promise<void> => {
  await mkdir(join(path, '..'), { recursive: true })
  await sharp({ create: { width: size, height: size + 4, channels: 3, background: '#c33' } }).toFile(path)
}

test('new makes a folder that trains on pictures, and says how', async () => {
  for (const [kind, n] of [
    ['cats', 5],
    ['dogs', 3],
  ] as const)
    for (let i = 0; i < n; i++) await draw(at('pets', kind, `${i}.png`), 18 + i)
  const { code, out, err } = await running('new', at('pets-model'), '--pictures', at('pets'), '--minutes', '0.01')
  expect(code, err).toBe(0)
  expect(err).toContain('2 classes: cats 5, dogs 3')
  expect(err).toMatch(/shorter sides of 18 to 22 pixels, longer ones of 22 to 26/)
  expect(err).toMatch(/training takes about .* longer than asked for/)
  const file = at('pets-model/pets-model.json')
  const [asked, into] = [file, at('pets-model/runs/pets-model')].map(asArgument)
  expect(out).toBe(`npx latentgraph train ${asked} --out ${into}\n`)
  const made = ['.gitignore', 'README.md', 'draw.js', 'package.json', 'pets-model.json', 'tsconfig.json']
  expect(await readdir(at('pets-model'))).toEqual(made)
  const { data, diffusion } = JSON.parse(await readFile(file, 'utf8'))
  expect(data).toEqual({ kind: 'folder', path: '../pets', size: 16 })
  expect(diffusion.conditioning.kind).toBe('class')
  expect((await running('check', file)).code).toBe(0)
  const again = await running('new', at('pets-model'))
  expect(again.code).toBe(2)
  expect(again.err).toContain('a folder that is not there yet')
})

test('new names the pictures that it cannot read, and makes nothing', async () => {
  await cp(at('pets'), at('broken'), { recursive: true })
  await writeFile(at('broken/cats/9.png'), 'no picture')
  const whole = await readFile(at('pets/dogs/1.png'))
  await writeFile(at('broken/dogs/9.jpg'), whole.subarray(0, 20))
  const { code, err } = await running('new', at('none'), '--pictures', at('broken'))
  expect(code).toBe(1)
  for (const path of ['broken/cats/9.png', 'broken/dogs/9.jpg']) expect(err).toContain(at(path))
  expect(await readdir(state.folder)).not.toContain('none')
})

test('npm create latentgraph is the same command', async () => {
  const root = join(import.meta.dirname, '../..')
  await mkdir(at('node_modules/latentgraph'), { recursive: true })
  await cp(join(root, 'package.json'), at('node_modules/latentgraph/package.json'))
  await symlink(compiled, at('node_modules/latentgraph/dist'))
  await cp(join(root, 'packages/create-latentgraph'), at('node_modules/create-latentgraph'), { recursive: true })
  const { stdout, status } = spawnSync(process.execPath, ['node_modules/create-latentgraph/create.js', '--help'], {
    cwd: state.folder,
    encoding: 'utf8',
  })
  expect([status, stdout]).toEqual([0, expect.stringContaining('Usage: latentgraph new [options] <name>')])
})
