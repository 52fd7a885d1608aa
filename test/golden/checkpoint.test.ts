import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { showErrors } from '../../src/error.ts'
import { readCheckpointFile } from '../../src/io/checkpoint-file.ts'
import { readSafetensors } from '../../src/io/safetensors-file.ts'
import type { StoredArrays } from '../../src/io/stored.ts'
import { E, t } from '../../src/prelude.ts'

const folder = join(import.meta.dirname, 'fixtures', 'checkpoint')
const Numbers = t.union([t.number, t.array(t.number)])
const Case = t.union([
  t.type({ expect: t.literal('accept'), values: t.record(t.string, Numbers) }),
  t.type({ expect: t.literal('accept'), expected_file: t.string }),
  t.type({ expect: t.union([t.literal('reject'), t.literal('inflate or reject')]), why: t.string }),
])
const Index = t.type({ files: t.record(t.string, Case) })
const index: unknown = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'))
const files = Index.is(index) ? Object.entries(index.files) : []

const arrays = async (path: string): Promise<StoredArrays> => {
  const read = await readCheckpointFile(path)()
  return E.isRight(read) ? read.right : expect.unreachable(showErrors(read.left))
}
const expectedArrays = async (file: string): Promise<StoredArrays> => {
  const read = await readSafetensors(join(folder, file))()
  const { tensors } = E.isRight(read) ? read.right : expect.unreachable(showErrors(read.left))
  return Object.fromEntries(Object.entries(tensors).map(([name, array]) => [name.slice('out.'.length), array]))
}
const bits = (tensors: StoredArrays) =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, data }]) => [
      name,
      { dtype, shape, bytes: [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)] },
    ]),
  )

describe('checkpoint fixtures', () => {
  it('are all there', () => expect(files).toHaveLength(41))

  it.each(files)('%s', async (name, wanted) => {
    const path = join(folder, name)
    if (wanted.expect === 'reject') {
      const read = await readCheckpointFile(path)()
      expect(read).toMatchObject({ _tag: 'Left', left: [{ tag: 'file', at: expect.stringContaining(path) }] })
      expect(E.isLeft(read) && read.left).toHaveLength(1)
    } else if ('values' in wanted) {
      const tensors = await arrays(path)
      const found = Object.entries(tensors).map(([key, { shape, data }]) => [key, shape.length ? [...data] : data[0]])
      expect(Object.fromEntries(found)).toEqual(wanted.values)
      expect(Object.values(tensors).every(({ dtype }) => dtype === 'float32')).toBe(true)
    } else {
      const file = 'expected_file' in wanted ? wanted.expected_file : 'zip_protocol4.expected.safetensors'
      expect(bits(await arrays(path))).toEqual(bits(await expectedArrays(file)))
    }
  })

  it.each([
    ['hostile_zip_os_system.ckpt', 'posix system'],
    ['hostile_legacy_os_system.ckpt', 'posix system'],
    ['hostile_zip_eval.ckpt', '__builtin__ eval'],
    ['unknown_class_zip.ckpt', 'some.unknown.module Obj'],
  ])('%s is refused by the name %s', async (file, name) => {
    const read = await readCheckpointFile(join(folder, file))()
    expect(E.isLeft(read) && read.left[0].got).toContain(name)
  })
})
