import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type Checked, showErrors } from '../../src/error.ts'
import { importCompVis } from '../../src/experiment/import/compvis.ts'
import { E, t } from '../../src/prelude.ts'
import { type OriginalModel, originalDocument, originalModel, wholly } from '../../src/published/compvis/index.ts'
import { modelSections } from '../../src/published/document.ts'

/** Configurations of the original code: what is said in them, as data. */

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const places = (c: Checked<unknown>) => (E.isLeft(c) ? c.left.map(({ at }) => at) : [])
const said = (c: Checked<unknown>) => (E.isLeft(c) ? c.left.map(({ got }) => got).join() : '')

const folder = new URL('./originals/', import.meta.url)
const documentOf = (name: string): Readonly<Record<string, unknown>> => {
  const read: unknown = parse(readFileSync(new URL(`${name}.yaml`, folder), 'utf8'))
  if (!t.UnknownRecord.is(read)) throw new Error(`${name} is no object`)
  return read
}
/** The document with words of its text replaced. */
const changed = (name: string, ...changes: readonly (readonly [string | RegExp, string])[]) =>
  originalModel(JSON.parse(changes.reduce((s, [from, to]) => s.replace(from, to), JSON.stringify(documentOf(name)))))

const sections = (m: OriginalModel) =>
  m.conditioning.map(({ encoder, key, prefix, tells }) => [encoder.kind, key, prefix, ...tells])

const text = (kind: string, tells = ['context']) => [kind, 'txt', 'cond_stage_model.', ...tells]
const expected: Readonly<Record<string, readonly (readonly string[])[]>> = {
  controlnet: [text('clip')],
  'ldm-cin': [['classes', 'class_label', 'cond_stage_model.', 'context']],
  'ldm-inpaint': [['first-stage', 'masked_image', 'cond_stage_model.', 'beside']],
  'ldm-sr': [['identity', 'LR_image', 'cond_stage_model.', 'beside']],
  'ldm-txt2img': [['bert', 'caption', 'cond_stage_model.', 'context']],
  'ldm-uncond-ema': [],
  'ldm-uncond-kl': [],
  'sd1-compvis': [text('clip')],
  'sd2-v': [text('open-clip')],
  sdxl: [
    ['clip', 'txt', 'conditioner.embedders.0.', 'context'],
    ['open-clip', 'txt', 'conditioner.embedders.1.', 'context', 'vector'],
    ['sizes', 'original_size_as_tuple', 'conditioner.embedders.2.', 'vector'],
    ['sizes', 'crop_coords_top_left', 'conditioner.embedders.3.', 'vector'],
    ['sizes', 'target_size_as_tuple', 'conditioner.embedders.4.', 'vector'],
  ],
}

describe('configurations of the original code', () => {
  it.each(readdirSync(folder).map((file) => file.replace('.yaml', '')))('%s is read whole', (name) => {
    const m = right(originalModel(documentOf(name)))
    expect(sections(m)).toEqual(expected[name])
    expect(right(wholly(m))).toBe(m)
    expect(right(modelSections(right(importCompVis(documentOf(name))))).length).toBeGreaterThan(1)
  })

  it.each(readdirSync(folder).map((file) => file.replace('.yaml', '')))(
    '%s is written, and read back as it was',
    (name) => {
      // A ControlNet is a file of its own; a loss is for training.
      const { controlNet: _, firstStage, ...rest } = right(originalModel(documentOf(name)))
      const { loss: __, ...stage } = firstStage
      const m: OriginalModel = { ...rest, firstStage: stage }
      expect(right(originalModel(right(originalDocument(m))))).toEqual(m)
    },
  )

  it('say how noise, scale and averages are', () => {
    const { process } = right(originalModel(documentOf('ldm-uncond-kl')))
    expect(process).toMatchObject({ linear_start: 0.0015, linear_end: 0.0155, scaleByStd: true, useEma: false })
    expect(right(originalModel(documentOf('ldm-uncond-ema'))).process.useEma).toBe(true)
    expect(right(originalModel(documentOf('sd2-v'))).process).toMatchObject({ predicts: 'v', scaleFactor: 0.18215 })
    const xl = { predicts: 'eps', linear_start: 0.00085, linear_end: 0.012, timesteps: 1000, scaleFactor: 0.13025 }
    expect(right(originalModel(documentOf('sdxl'))).process).toMatchObject(xl)
  })

  it('say which state of a text transformer is told', () => {
    const states = (name: string) =>
      right(originalModel(documentOf(name))).conditioning.flatMap(({ encoder }) =>
        'state' in encoder ? [encoder.state] : [],
      )
    expect(states('sd1-compvis')).toEqual([{ layer: -1, normalised: true }])
    expect(states('sd2-v')).toEqual([{ layer: -2, normalised: true }])
    expect(states('sdxl')).toEqual([
      { layer: 1, normalised: false },
      { layer: -2, normalised: false },
    ])
  })

  it('are known within other packages, and by what their classes put beside x', () => {
    const kinds = [
      ['LatentInpaintDiffusion', ['mask', 'masked_image']],
      ['LatentDepth2ImageDiffusion', ['depth_mask']],
    ] as const
    for (const [kind, keys] of kinds)
      expect(right(changed('sd1-compvis', ['LatentDiffusion', kind], ['"crossattn"', '"hybrid"'])).concatKeys).toEqual(
        keys,
      )
    const edit = right(
      changed('sd1-compvis', [/"ldm\./g, '"stable_diffusion.ldm.'], ['ddpm.Latent', 'ddpm_edit.Latent']),
    )
    expect(edit.concatKeys).toEqual(['c_concat'])
    const earlier = right(
      changed('sdxl', [/"sgm\./g, '"ldm.'], ['"double_z"', '"attn_type":"vanilla-xformers","double_z"']),
    )
    expect(earlier).toEqual(expect.objectContaining({ unet: right(originalModel(documentOf('sdxl'))).unet }))
    const { controlNet } = right(originalModel(documentOf('controlnet')))
    expect(controlNet).toMatchObject({ key: 'hint', onlyMiddle: false, network: { hintChannels: 3 } })
  })

  it('are refused by name where something else would be built', () => {
    expect(said(changed('sd1-compvis', ['LatentDiffusion', 'LatentUpscaleDiffusion']))).toContain('upscaler')
    expect(said(changed('sd1-compvis', ['openaimodel.UNetModel', 'mmdit.MMDiT']))).toContain('Stable Diffusion 3')
    const retrieving = right(changed('ldm-sr', ['LR_image', 'nix'], ['"concat_mode":true', '"concat_mode":false']))
    expect(said(wholly(retrieving))).toContain('retrieval-augmented')
    const unknown = right(changed('sd1-compvis', ['FrozenCLIPEmbedder', 'FrozenClipImageEmbedder']))
    expect(places(wholly(unknown))).toEqual(['/model/params/cond_stage_config/target'])
    expect(
      places(changed('sdxl', ['EpsScaling', 'EDMScaling'], ['"num_classes"', '"num_clases"'], ['ViT-bigG-14', '7'])),
    ).toEqual(
      expect.arrayContaining([
        '/model/params/network_config/params/num_clases',
        '/model/params/denoiser_config/params/scaling_config/target',
      ]),
    )
  })
})
