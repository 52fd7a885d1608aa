import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { glance, type ModelBlock, treeOf } from '../../src/cli/model-blocks.ts'
import { drawn } from '../../src/cli/model-drawn.ts'
import { layersOf } from '../../src/cli/model-layers.ts'
import { resolutionOf } from '../../src/cli/model-svg.ts'
import type { Checked } from '../../src/error.ts'
import { parameters } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { modelSections, publishedModel } from '../../src/published/document.ts'
import { decode } from '../../src/schema.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(JSON.stringify(c.left))
  return c.right
}
const published = (name: string) =>
  right(
    pipe(
      JSON.parse(readFileSync(join(import.meta.dirname, '../../graphs/published', `${name}.json`), 'utf8')),
      decode(publishedModel),
      E.chain(modelSections),
    ),
  )
const all = [...published('vq-f8'), ...published('stable-diffusion-v1')]
const small = published('kl-f4')
const inside = (block: ModelBlock): readonly ModelBlock[] => [block, ...block.children.flatMap(inside)]

describe('a model as blocks', () => {
  it.each(all.map((s, i) => [i, s.section, s.graph] as const))(
    '%i, %s: every number stands in one block',
    (_, __, graph) => {
      const tree = treeOf(layersOf(graph))
      const distinct = new Map(parameters(graph).map((p) => [p.name, p.shape]))
      expect(tree.parameters).toBe([...distinct.values()].reduce((n, s) => n + size(s), 0))
      for (const b of inside(tree))
        if (b.children.length > 0) {
          expect(b.children.reduce((n, c) => n + c.parameters, 0)).toBe(b.parameters)
          expect(b.children.reduce((n, c) => n + c.flops, 0)).toBeLessThanOrEqual(b.flops)
        }
    },
  )

  const unet = all.findLast(({ section }) => section === 'unet')
  if (unet === undefined) throw new Error('a model without a U-Net')
  const seen = glance(layersOf(unet.graph))
  const labels = seen.stations.map(({ label }) => label)

  it('of a U-Net keep each input block for an output block', () => {
    const skips = seen.links.flatMap(({ from, to }) => {
      const [a, b] = [labels[from]?.match(/^input_blocks\.(\d+)/), labels[to]?.match(/^output_blocks\.(\d+)/)]
      return a === null || a === undefined || b === null || b === undefined ? [] : [Number(a[1]) + Number(b[1])]
    })
    expect(skips).toEqual(Array.from({ length: 12 }, () => 11))
  })

  it('are told the time and the text', () => {
    const told = seen.told.map(({ from, to }) => [labels[from], to.length] as const)
    expect(new Map(told)).toEqual(
      new Map([
        ['context', 16],
        ['time_embed', 22],
      ]),
    )
  })

  it('stand in rows of their resolution', () => {
    const rows = new Set(seen.stations.map(({ shape }) => resolutionOf(shape)))
    expect(rows).toEqual(new Set(['32×32', '16×16', '8×8', '4×4', '77 tokens', 'vector']))
  })

  it('a page has an anchor for every block that its pictures lead to', () => {
    const page = drawn('model', { sections: small, missing: [] }, 'html')
    const ids = new Set([...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))
    const led = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)
    expect(led.length).toBeGreaterThan(15)
    expect(led.filter((id) => !ids.has(id ?? ''))).toEqual([])
  })

  it("Mermaid's language has every block and no quotes within labels", () => {
    const text = drawn('model', { sections: small, missing: [] }, 'mermaid')
    expect(text.match(/^ {4}s0n\d+[([]/gm)?.length).toBeGreaterThan(15)
    expect(text).not.toMatch(/"[^"\n]*"[^"\n]*"[^"\n]*"/)
  })
})
