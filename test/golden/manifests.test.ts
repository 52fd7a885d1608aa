import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Checked, showErrors } from '../../src/error.ts'
import { importCompVis } from '../../src/experiment/import/compvis.ts'
import { parameters } from '../../src/graph/graph.ts'
import { type Shape, size } from '../../src/graph/types.ts'
import { E, t } from '../../src/prelude.ts'
import { modelSections, type PublishedModel, publishedModel } from '../../src/published/document.ts'
import { anything, decode, dictionary, integer, list, record, text } from '../../src/schema.ts'

/** Published models: every parameter's name and shape, as the reference's `state_dict` has them. */

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const json = (path: string): unknown => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
const files = (folder: string): readonly string[] => readdirSync(new URL(folder, import.meta.url))

type Shapes = Readonly<Record<string, Shape>>
const shapesOf = (m: PublishedModel): Readonly<Record<string, Shapes>> =>
  Object.fromEntries(
    right(modelSections(m)).map(({ section, graph }) => [
      section,
      Object.fromEntries(parameters(graph).map(({ name, shape }) => [name, shape])),
    ]),
  )

const digest = (s: Shapes) => {
  const names = Object.keys(s).sort()
  const lines = names.map((k) => `${k} ${s[k]?.join(',')}\n`)
  return {
    tensors: names.length,
    parameters: names.reduce((n, k) => n + size(s[k] ?? []), 0),
    sha256: createHash('sha256').update(lines.join('')).digest('hex'),
  }
}
const digestsOf = (m: PublishedModel) =>
  Object.fromEntries(Object.entries(shapesOf(m)).map(([section, shapes]) => [section, digest(shapes)]))

/**
 * Of every published configuration: what it says, and the digests of what the reference makes of it. That of kl-f32 has no manifest;
 * its digest is of a list written apart from this library, which gives those of the other six KL configurations too.
 */
const sum = record({ tensors: integer(), parameters: integer(), sha256: text })
const published = right(
  decode(list(record({ source: text, model: anything, sections: dictionary(sum) })))(json('./manifests/digests.json')),
)
/** Without a condition's stage that is named as not built. */
const expected = (m: PublishedModel, sections: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.entries(sections).filter(([name]) => name !== 'cond_stage' || m.conditioning?.kind !== 'notBuilt'),
  )

describe('declared published models', () => {
  const declared = files('../../graphs/published/').map(
    (name) => [name, right(decode(publishedModel)(json(`../../graphs/published/${name}`)))] as const,
  )
  it('stand for every published configuration', () => {
    const sources = declared.flatMap(([, { sources = [] }]) => sources)
    expect(sources.toSorted()).toEqual(published.map(({ source }) => source).toSorted())
  })
  it.each(declared)('%s has the published names and shapes', (_, model) => {
    const ours = digestsOf(model)
    for (const { source, sections } of published)
      if (model.sources?.includes(source)) expect(ours).toEqual(expected(model, sections))
  })
})

describe('published configurations', () => {
  it.each(published)('$source, as published, has every name and shape', ({ model: document, sections }) => {
    const model = right(importCompVis({ model: document }))
    expect(digestsOf(model)).toEqual(expected(model, sections))
  })

  const manifest = t.type({ model: t.UnknownRecord, state_dict: t.UnknownRecord })
  it.each(files('./manifests/').filter((f) => f !== 'digests.json'))('%s, name by name', (name) => {
    const document = json(`./manifests/${name}`)
    if (!manifest.is(document)) throw new Error('not a manifest')
    const model = right(importCompVis(document))
    expect(shapesOf(model)).toEqual(expected(model, document.state_dict))
  })

  const kl = published.find(({ source }) => source.includes('kl-f8'))?.model
  const changed = (...changes: readonly (readonly [string, string])[]) =>
    importCompVis({
      model: JSON.parse(changes.reduce((s, [from, to]) => s.replace(from, to), JSON.stringify(kl))),
    })
  const failures = (c: Checked<unknown>) => (E.isLeft(c) ? c.left.map(({ at, hint }) => [at, hint]) : [])
  it('are refused where a target, a name or a size does not fit, all at once', () => {
    expect(
      failures(changed(['LPIPSWithDiscriminator', 'LPIPSWithDiscriminater'], ['"z_channels"', '"z_chanels"'])),
    ).toEqual([
      ['/model/params/ddconfig/z_chanels', 'did you mean "z_channels"?'],
      ['/model/params/ddconfig/z_channels', undefined],
      ['/model/params/lossconfig/target', 'did you mean "ldm.modules.losses.LPIPSWithDiscriminator"?'],
    ])
    expect(failures(changed(['"double_z":true', '"double_z":false']))).toEqual([
      ['/model/params/ddconfig/double_z', undefined],
    ])
    expect(failures(changed(['"disc_start"', '"disc_in_channels":5,"disc_start"']))).toEqual([
      ['/model/params/lossconfig/params/disc_in_channels', undefined],
    ])
  })

  it('with a conditional discriminator show it the condition too', () => {
    const c = right(changed(['"disc_start"', '"disc_conditional":true,"disc_in_channels":5,"disc_start"']))
    expect(shapesOf(c).model?.['loss.discriminator.main.0.weight']).toEqual([64, 5, 4, 4])
  })
})
