import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { readCheckpointFile } from '../../src/io/checkpoint-file.ts'
import { unpickle } from '../../src/io/torch/pickle.ts'
import { E } from '../../src/prelude.ts'

const fixtures = join(import.meta.dirname, '../golden/fixtures/checkpoint')
const folder = mkdtempSync(join(tmpdir(), 'latentgraph-torch-'))
const path = join(folder, 'damaged.ckpt')
afterAll(() => rmSync(folder, { recursive: true }))

const files = [
  'zip_state_dict.ckpt',
  'zip_lightning.ckpt',
  'zip_protocol4.ckpt',
  'deflated_zip.ckpt',
  'legacy_state_dict.ckpt',
  'legacy_parameters.ckpt',
  'hostile_legacy_os_system.ckpt',
].map((name) => ({ name, bytes: readFileSync(join(fixtures, name)) }))
const file = fc.constantFrom(...files)

/** Ends in arrays that fill their shapes, or in errors of files; an exception fails the property. */
const endsWell = async (bytes: Uint8Array): Promise<boolean> => {
  writeFileSync(path, bytes)
  const read = await readCheckpointFile(path)()
  return E.isLeft(read)
    ? read.left.every(({ tag }) => tag === 'file')
    : Object.values(read.right).every(({ data, shape }) => data.length === shape.reduce((n, d) => n * d, 1))
}

describe('damaged torch files end in arrays or in an error of the file', () => {
  it('bytes changed at random', { timeout: 60_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        file,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 8 }),
        ({ bytes }, changes) => {
          const damaged = Uint8Array.from(bytes)
          for (const [at, by] of changes) damaged[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ by
          return endsWell(damaged)
        },
      ),
      { numRuns: 1000 },
    ),
  )

  it('bytes changed in the head alone, where the structure is', { timeout: 60_000 }, () =>
    fc.assert(
      fc.asyncProperty(file, fc.nat({ max: 400 }), fc.nat({ max: 255 }), ({ bytes }, at, byte) => {
        const damaged = Uint8Array.from(bytes)
        damaged[at % bytes.length] = byte
        return endsWell(damaged)
      }),
      { numRuns: 1000 },
    ),
  )

  it('cut short: always refused', { timeout: 60_000 }, () =>
    fc.assert(
      fc.asyncProperty(file, fc.nat(), async ({ bytes }, length) => {
        writeFileSync(path, bytes.subarray(0, length % bytes.length))
        return E.isLeft(await readCheckpointFile(path)())
      }),
      { numRuns: 500 },
    ),
  )

  it('in a zip, no change of the data of a tensor goes unnoticed', { timeout: 60_000 }, async () => {
    const bytes = readFileSync(join(fixtures, 'zip_lightning.ckpt'))
    const data = bytes.indexOf('zip_lightning/data/0')
    expect(data).toBeGreaterThan(0)
    const damaged = Uint8Array.from(bytes)
    const at = Math.ceil((data + 'zip_lightning/data/0'.length) / 64) * 64
    damaged[at] = (damaged[at] ?? 0) ^ 1
    writeFileSync(path, damaged)
    expect(await readCheckpointFile(path)()).toMatchObject({ _tag: 'Left', left: [{ tag: 'file' }] })
  })
})

describe('any bytes as a pickle', () => {
  it('end in a value, an error, or short', () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        unpickle(bytes, 0, 'f')
      }),
      { numRuns: 3000 },
    ))

  const opcodes = [...'(012NJKMGUTXCB]ael)t}dsuhjqrcRbQio.'].map((c) => c.charCodeAt(0))
  const likely = fc.oneof(
    fc.constantFrom(...opcodes, 0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f),
    fc.constantFrom(0x90, 0x91, 0x92, 0x93, 0x94, 0x96),
    fc.nat({ max: 3 }),
  )
  it('opcodes at random', () =>
    fc.assert(
      fc.property(fc.array(likely, { maxLength: 60 }), (bytes) => {
        unpickle(Uint8Array.from(bytes), 0, 'f')
      }),
      { numRuns: 5000 },
    ))
})
