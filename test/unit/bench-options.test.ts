import { afterEach, expect, test, vi } from 'vitest'
import { benchOptions } from '../../bench/options.ts'

const said: string[] = []
const listen = () => {
  const keep = (text: string | Uint8Array): boolean => said.push(String(text)) > 0
  vi.spyOn(process.stdout, 'write').mockImplementation(keep)
  vi.spyOn(process.stderr, 'write').mockImplementation(keep)
}
afterEach(() => {
  vi.restoreAllMocks()
  said.length = 0
})

test('the bench tells its options, the works and the executors', () => {
  listen()
  expect(benchOptions(['--help'])).toBe(0)
  for (const told of ['--work', '--executors', '--rounds', 'gan-lpips-train', 'onnx:cpu'])
    expect(said.join('')).toContain(told)
})

test.each([
  [['--work', 'unet'], 'Allowed: unet-sample'],
  [['--executor', 'onnx:gpu'], 'Allowed: '],
  [['--executors', 'onnx:cpu,tfjs'], 'Allowed: '],
  [['--executor', 'onnx:cpu', '--executors', 'onnx:cpu'], 'cannot be used with'],
  [['--rounds', 'ten'], 'whole number above 0'],
  [['--threads', '0'], 'whole number above 0'],
  [['--speed'], "unknown option '--speed'"],
  [['unet-train'], 'too many arguments'],
])('%j is refused before anything is measured', (args, told) => {
  listen()
  expect(benchOptions(args)).toBe(2)
  expect(said.join('')).toContain(told)
})

test('what is asked for is done', () => {
  expect(benchOptions(['--work', 'unet-sample', '--work', 'gan-train', '--rounds', '3'])).toEqual({
    work: ['unet-sample', 'gan-train'],
    executor: 'onnx:cpu',
    precision: 'float32',
    modes: undefined,
    rounds: 3,
    threads: 2,
    python: '/usr/bin/python3',
    jax: '/usr/bin/python3',
    device: 'cpu',
  })
  expect(benchOptions(['--executors', 'onnx:cpu,tfjs:wasm'])).toMatchObject({ executors: ['onnx:cpu', 'tfjs:wasm'] })
})
