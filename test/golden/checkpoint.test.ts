import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readSafetensors } from '../../src/io/safetensors.ts'
import { E, t } from '../../src/prelude.ts'

const folder = join(import.meta.dirname, 'fixtures', 'checkpoint')
const Numbers = t.union([t.number, t.array(t.number)])
const Case = t.union([
  t.type({ expect: t.literal('accept'), values: t.record(t.string, Numbers) }),
  t.type({ expect: t.literal('reject'), why: t.string }),
])
const Index = t.type({ files: t.record(t.string, Case) })
const index: unknown = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'))
const files = Index.is(index) ? Object.entries(index.files) : []

describe('safetensors fixtures', () => {
  it('are all there', () => expect(files).toHaveLength(22))

  it.each(files)('%s', async (name, wanted) => {
    const path = join(folder, name)
    const read = await readSafetensors(path)()
    if (wanted.expect === 'reject') {
      expect(read).toMatchObject({ _tag: 'Left', left: [{ tag: 'file', at: expect.stringContaining(path) }] })
      expect(E.isLeft(read) && read.left).toHaveLength(1)
    } else {
      const { tensors } = E.isRight(read) ? read.right : expect.unreachable(JSON.stringify(read.left))
      const found = Object.entries(tensors).map(([key, { shape, data }]) => [key, shape.length ? [...data] : data[0]])
      expect(Object.fromEntries(found)).toEqual(wanted.values)
      expect(Object.values(tensors).every(({ dtype }) => dtype === 'float32')).toBe(true)
    }
  })
})
