import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { oneDnnSpeed } from '../../src/cli/doctor-machine.ts'
import { written } from '../../src/cli/record.ts'
import { judgeAdapter } from '../../src/execute/dawn.ts'
import { decide, type Finding } from '../../src/execute/decide.ts'
import { type GpuFacts, judgeGpu } from '../../src/execute/gpu.ts'
import { recorded } from '../../src/execute/native/recorded.ts'
import { judgeSpeed, lookIfFaster, type Speed, speed, speedRecord } from '../../src/execute/onednn/speed.ts'
import { E, TE } from '../../src/prelude.ts'
import { right } from '../arbitrary/run.ts'

const word = fc.string({ minLength: 1 })
const findings: fc.Arbitrary<readonly Finding[]> = fc.array(
  fc.record({ name: word, usable: fc.boolean(), what: word }),
  { maxLength: 6 },
)

describe('the decision of auto', () => {
  test('is the first usable finding, and says why and what was passed over', () =>
    fc.assert(
      fc.property(findings, (found) => {
        const at = found.findIndex(({ usable }) => usable)
        const decision = decide(found)
        const chosen = found[at]
        if (chosen === undefined) {
          if (E.isRight(decision)) throw new Error('nothing to choose from')
          expect(decision.left).toHaveLength(1)
          for (const { name, what } of found) expect(decision.left[0].got).toContain(`${name}: ${what}`)
          return
        }
        if (E.isLeft(decision)) throw new Error('something to choose from')
        expect(decision.right.name).toBe(chosen.name)
        expect(decision.right.reason.startsWith(chosen.what)).toBe(true)
        for (const { name, what } of found.slice(0, at)) expect(decision.right.reason).toContain(`${name}: ${what}`)
      }),
    ))

  test('does not depend on what comes after', () =>
    fc.assert(
      fc.property(findings, findings, (found, more) => {
        fc.pre(found.some(({ usable }) => usable))
        expect(decide([...found, ...more])).toEqual(decide(found))
      }),
    ))
})

const linux = (devices: GpuFacts['devices'], ...drivers: readonly string[]): GpuFacts => ({
  platform: 'linux',
  devices,
  drivers,
})
const nvidia = { path: '/dev/nvidia0', vendor: '0x10de' }
const intel = { path: '/dev/dri/renderD128', vendor: '0x8086' }
const onBoard = { path: '/dev/dri/renderD128', vendor: undefined }
const swiftShader = '/usr/lib/chromium/libvk_swiftshader.so'
const mesa = (name: string): string => `/usr/lib/x86_64-linux-gnu/libvulkan_${name}.so`

describe('a GPU is real', () => {
  test.each<readonly [string, GpuFacts, string]>([
    ['where a driver meets its device', linux([nvidia], swiftShader, 'libGLX_nvidia.so.0'), 'hardware'],
    ['where the device sits on no PCI bus', linux([onBoard], mesa('freedreno')), 'hardware'],
    ['not without a device', linux([], mesa('intel'), mesa('lvp'), mesa('radeon')), 'none'],
    ['not without a driver', linux([nvidia]), 'none'],
    ['not with drivers of other devices', linux([intel], 'libGLX_nvidia.so.0', mesa('radeon')), 'none'],
    ['not with software drivers alone', linux([nvidia, intel], swiftShader, mesa('lvp')), 'none'],
    ['on every Mac', { platform: 'darwin', devices: [], drivers: [] }, 'hardware'],
    ['who knows where', { platform: 'win32', devices: [], drivers: [] }, 'unknown'],
  ])('%s', (_, facts, kind) => {
    expect(judgeGpu(facts).kind).toBe(kind)
  })

  test('and what was found is named', () => {
    expect(judgeGpu(linux([intel], mesa('lvp'))).what).toBe(
      'GPU devices in /dev: /dev/dri/renderD128; Vulkan drivers: libvulkan_lvp.so (software)',
    )
  })

  const info = { vendor: 'google', description: 'SwiftShader driver 5.0.0', isFallbackAdapter: true }
  test.each<readonly [string, unknown, string]>([
    ['no adapter', null, 'none'],
    ['SwiftShader', { info }, 'none'],
    ['a driver that does not own up', { info: { ...info, isFallbackAdapter: false } }, 'none'],
    ['hardware', { info: { vendor: 'nvidia', description: 'NVIDIA H200', isFallbackAdapter: false } }, 'hardware'],
  ])('as Dawn says: %s', (_, found, kind) => {
    expect(judgeAdapter(found).kind).toBe(kind)
  })
})

describe('onednn is taken only where it was measured to be faster', () => {
  const here = { processor: 'one', latentgraph: '0.2.0', version: '3.2.0' }
  const measured: Speed = { ...here, onednn: 21, onnx: 42 }
  const what = 'a small training step took 0.50 of onnx:cpu’s time when doctor measured'

  test('and not mentioned where it was not measured', () => {
    expect(judgeSpeed(undefined, here)).toBeUndefined()
    expect(judgeSpeed(measured, here)).toEqual({ usable: true, what })
    expect(judgeSpeed({ ...measured, onednn: 43 }, here)?.usable).toBe(false)
  })
  test.each([
    ['processor', 'the processor was another when doctor measured: doctor again, for one'],
    ['latentgraph', 'latentgraph was another when doctor measured: doctor again, for 0.2.0'],
    ['version', 'oneDNN was another when doctor measured: doctor again, for 3.2.0'],
  ] as const)('of the same %s', (of, said) => {
    expect(judgeSpeed({ ...measured, [of]: 'another' }, here)).toEqual({ usable: false, what: said })
  })

  describe('as doctor writes it down', () => {
    const [folder, before] = [mkdtempSync(join(tmpdir(), 'latentgraph-speed-')), process.env.XDG_CONFIG_HOME]
    beforeAll(() => {
      process.env.XDG_CONFIG_HOME = folder
    })
    afterAll(() => {
      if (before === undefined) delete process.env.XDG_CONFIG_HOME
      else process.env.XDG_CONFIG_HOME = before
      rmSync(folder, { recursive: true })
    })
    test('anew each time that it is asked', async () => {
      expect(right(await oneDnnSpeed(TE.right({ ...measured, onednn: 78 }))())).toContain('took 1.86')
      expect(right(await oneDnnSpeed(TE.right(measured))())).toContain('so auto takes it before onnx:cpu')
      expect(right(await recorded(speedRecord, speed)())).toEqual(measured)
    })
    test('and what an earlier version wrote is to be measured again', async () => {
      const { latentgraph: _, ...earlier } = measured
      right(await written(speedRecord, earlier)())
      const found = await lookIfFaster()
      expect(found?.usable).toBe(false)
      expect(found?.what).toContain('write it anew: latentgraph doctor')
    })
  })
})
