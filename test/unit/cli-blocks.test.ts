import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blocksOf } from '../../src/cli/blocks.ts'

const named = (...names: readonly string[]) => names.map((name) => ({ name, shape: [2, 3] }))
const residual = (prefix: string) =>
  ['norm1', 'conv1', 'norm2', 'conv2'].flatMap((layer) => [`${prefix}.${layer}.weight`, `${prefix}.${layer}.bias`])

describe('blocks of a model', () => {
  it('are as large as a residual block, not larger', () => {
    const names = [
      'conv_in.weight',
      'conv_in.bias',
      ...residual('down.0.block.0'),
      ...residual('down.0.block.1'),
      ...residual('down.1.block.0'),
    ]
    expect(blocksOf(named(...names)).map(({ name }) => name)).toEqual([
      'conv_in',
      'down.0.block.0',
      'down.0.block.1',
      'down.1',
    ])
  })

  it('show the weights, or else the vectors', () => {
    expect(
      blocksOf([
        { name: 'a.weight', shape: [4, 2] },
        { name: 'a.bias', shape: [4] },
        { name: 'b.weight', shape: [4] },
      ]),
    ).toEqual([
      { name: 'a', parameters: 12, shapes: [[4, 2]] },
      { name: 'b', parameters: 4, shapes: [[4]] },
    ])
  })

  it('law: hold every number once, under names of their own', () => {
    const part = fc.constantFrom('a', 'b', '0', '1')
    const name = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.'))
    const parameters = fc.uniqueArray(
      fc.record({ name, shape: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }) }),
      {
        selector: (p) => p.name,
        maxLength: 60,
      },
    )
    fc.assert(
      fc.property(parameters, (all) => {
        const blocks = blocksOf(all)
        const total = all.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0)
        expect(blocks.reduce((n, b) => n + b.parameters, 0)).toBe(total)
        expect(new Set(blocks.map((b) => b.name)).size).toBe(blocks.length)
      }),
    )
  })
})
