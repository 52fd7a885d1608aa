import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { crc32c, record, scalars } from '../../src/io/tensorboard.ts'
import { E } from '../../src/prelude.ts'
import { tensorboard } from '../../src/run/tensorboard.ts'
import type { TrainingEvent } from '../../src/train/events.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
/** Records, taken apart again. */
const recordsOf = (file: Uint8Array): readonly Uint8Array[] => {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  const found: Uint8Array[] = []
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true))
    found.push(file.subarray(at + 12, at + 12 + length))
    at += length + 16
  }
  return found
}

describe("TensorBoard's files", () => {
  it('CRC-32C is that of RFC 3720, appendix B.4', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43)
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e)
    expect(crc32c(bytes('123456789'))).toBe(0xe3069283)
  })

  it('a record is length, sum, data, sum', () => {
    expect(
      Buffer.from(record(bytes('abc')))
        .subarray(0, 8)
        .toString('hex'),
    ).toBe('0300000000000000')
    expect(recordsOf(record(bytes('abc'))).map((r) => new TextDecoder().decode(r))).toEqual(['abc'])
  })

  it('a scalar is the protobuf that TensorFlow writes', () => {
    const [data] = recordsOf(scalars({ time: 1, step: 7 }, { loss: 0.5 }))
    expect(Buffer.from(data ?? []).toString('hex')).toBe('09000000000000f03f10072a0d0a0b0a046c6f7373150000003f')
  })

  const folder = mkdtemp(join(tmpdir(), 'latentgraph-tensorboard-'))
  afterAll(async () => rm(await folder, { recursive: true }))
  it('a stage has a folder; what goes on says from where', async () => {
    const sink = tensorboard(await folder)
    const told: readonly TrainingEvent[] = [
      { kind: 'doing', what: 'x' },
      { kind: 'stage', stage: 'diffusion', steps: 4, done: 2 },
      { kind: 'step', stage: 'diffusion', step: 3, metrics: { loss: 1 } },
      { kind: 'validation', stage: 'diffusion', step: 3, metrics: { 'val/loss': 2 }, isBest: true },
    ]
    for (const event of told) expect(E.isRight(await sink(event)())).toBe(true)
    const [file = ''] = await readdir(join(await folder, 'diffusion'))
    const records = recordsOf(await readFile(join(await folder, 'diffusion', file))).map((r) =>
      Buffer.from(r).toString('latin1'),
    )
    expect(records).toHaveLength(4)
    expect(records[0]).toContain('brain.Event:2')
    expect(records[2]).toContain('loss')
    expect(records[3]).toContain('val/loss')
  })
})
