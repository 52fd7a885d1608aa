import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { LatentError } from '../../src/error.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { applySettings, parseSetting } from '../../src/experiment/settings.ts'
import { asArgument } from '../../src/io/names.ts'
import { E } from '../../src/prelude.ts'

/** Hints are followed: each error below has one, and what it says makes the experiment pass. */

const right = <A>(result: E.Either<readonly LatentError[], A>): A => {
  if (E.isLeft(result)) throw new Error(JSON.stringify(result.left))
  return result.right
}
const graph = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../graphs/${name}.json`, import.meta.url), 'utf8'))
const changed = (document: unknown, sets: readonly string[]): unknown =>
  right(applySettings(sets.map((s) => right(parseSetting(s))))(document))
const errorsOf = (document: unknown): readonly LatentError[] => {
  const decoded = decodeExperiment(document)
  return E.isLeft(decoded) ? decoded.left : []
}

/** Words as a shell reads them. */
const pasted = (command: string): readonly string[] =>
  execFileSync('sh', ['-c', `printf '%s\\n' ${command}`], { encoding: 'utf8' })
    .split('\n')
    .slice(0, -1)

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> => typeof u === 'object' && u !== null
const renamed = (document: unknown, [key = '', ...rest]: readonly string[], to: string): unknown =>
  isObject(document)
    ? Object.fromEntries(
        Object.entries(document).map(([k, v]) =>
          k !== key ? [k, v] : rest.length === 0 ? [to, v] : [k, renamed(v, rest, to)],
        ),
      )
    : document

/** The document after each way that a hint offers: a word that was meant, or options to add to the command. */
const followed = (document: unknown, { at, expected, hint = '' }: LatentError): readonly unknown[] => {
  const [, meant] = /^did you mean "(.*)"\?$/.exec(hint) ?? []
  if (meant !== undefined)
    return [
      expected.startsWith('one of the keys')
        ? renamed(document, at.slice(1).split('/'), meant)
        : changed(document, [`${at}=${meant}`]),
    ]
  return [...hint.matchAll(/(?:--set (?:'[^']*'|[^\s',]+) ?)+/g)].map(([command]) =>
    changed(
      document,
      pasted(command).filter((word) => word !== '--set'),
    ),
  )
}

const codebook = '/firstStage/quantizer'
const flows = ['/diffusion/schedule={"kind":"flow","timesteps":100}', '/diffusion/predicts=flow']
const table: readonly (readonly [graph: string, sets: readonly string[], at: string, ways: number])[] = [
  ['tiny', ['/sede=1'], '/sede', 1],
  ['tiny', ['/executor=onxx:cpu'], '/executor', 1],
  ['tiny', ['/diffusion/schedule/kind=scaled-liner'], '/diffusion/schedule/kind', 1],
  ['tiny', ['/diffusion/training/optimiser={"kind":"adam"}'], '/diffusion/training/optimiser', 1],
  ['tiny', ['/firstStage/network/channels=48'], '/firstStage/network/channels', 1],
  ['tiny', ['/diffusion/unet/modelChannels=40'], '/diffusion/unet/modelChannels', 1],
  ['tiny', ['/data/size=17', '/firstStage/network/resolution=17'], '/data/size', 1],
  ['tiny', ['/data/size=39', '/firstStage/network/resolution=39'], '/data/size', 1],
  ['tiny', ['/firstStage/loss/perceptual={"weight":1}'], '/firstStage/loss/perceptual/files', 1],
  ['tiny', ['/diffusion/unet/classes=8'], '/diffusion/unet/classes', 1],
  ['../examples/emoji-super-resolution', ['/diffusion/conditioning/factor=5'], '/diffusion/conditioning/factor', 1],
  ['../examples/emoji-super-resolution', ['/sampling/guidance=2'], '/sampling/guidance', 1],
  ['../examples/emoji-inpainting', ['/diffusion/unet/inChannels=3'], '/diffusion/unet/inChannels', 1],
  ['tiny', ['/diffusion/conditioning/dropout=0'], '/sampling/guidance', 2],
  ['tiny', ['/diffusion/conditioning={"kind":"none"}'], '/sampling/guidance', 2],
  ['tiny', ['/diffusion/schedule={"kind":"sqrt","timesteps":4000}'], '/diffusion/predicts', 1],
  ['tiny', ['/diffusion/schedule={"kind":"linear","timesteps":5000}'], '/diffusion/predicts', 1],
  ['tiny', ['/diffusion/schedule/zeroTerminalSnr=true'], '/diffusion/predicts', 1],
  ['tiny', ['/diffusion/schedule={"kind":"flow"}'], '/diffusion/predicts', 1],
  ['tiny', ['/diffusion/variance={"kind":"learned"}'], '/diffusion/unet/outChannels', 1],
  [
    'tiny',
    ['/diffusion/timestepSampling={"kind":"importance"}', '/diffusion/training/microBatches=2'],
    '/diffusion/training/microBatches',
    1,
  ],
  ['tiny', ['/diffusion/huberScale=0.1'], '/diffusion/huberScale', 1],
  ['tiny', ['/sampling={"sampler":"ddpm","variance":"learned"}'], '/sampling/variance', 1],
  ['tiny', ['/sampling/steps=2000'], '/sampling/steps', 1],
  ['tiny', ['/sampling/spacing=uniform', '/sampling/steps=77'], '/sampling/steps', 1],
  ['tiny', ['/sampling={"sampler":"dpm-multistep","integrand":"eps","steps":1}', ...flows], '/sampling/spacing', 1],
  ['tiny', ['/sampling={"sampler":"plms","spacing":"quad","steps":5}', ...flows], '/sampling/spacing', 1],
  [
    'tiny',
    ['/diffusion/schedule/zeroTerminalSnr=true', '/diffusion/predicts=v', '/sampling/spacing=uniform'],
    '/sampling/spacing',
    1,
  ],
  [
    'tiny',
    ['/diffusion/schedule={"kind":"flow"}', '/diffusion/predicts=flow', '/diffusion/logvar={"learned":true}'],
    '/diffusion/logvar',
    1,
  ],
  [
    'tiny',
    ['/diffusion/schedule={"kind":"sqrt","betaEnd":0.9,"timesteps":100000}', '/diffusion/predicts=v'],
    '/diffusion/schedule/timesteps',
    1,
  ],
  [
    'emoji-vq-gan',
    [
      `${codebook}/remap={"used":[1,2,3],"unknown":{"kind":"index","index":3}}`,
      `${codebook}/kind=nearest`,
      '/firstStage/loss/perceptual/weight=0',
    ],
    `${codebook}/remap/unknown/index`,
    1,
  ],
]

describe('hints of an experiment', () => {
  it.each(table)('%s with %j', (name, sets, at, ways) => {
    const document = changed(graph(name), sets)
    const error = errorsOf(document).find((e) => e.at === at)
    if (error === undefined) throw new Error(`no error at ${at}: ${JSON.stringify(errorsOf(document))}`)
    const after = followed(document, error)
    expect(after).toHaveLength(ways)
    for (const mended of after) expect(errorsOf(mended)).toEqual([])
  })
})

it('words paste, whatever is in them', () => {
  for (const text of ['/a/b.json', 'my runs/a b', "it's", '', '$HOME `x` "y" \\ *', 'a=b', 'ü'])
    expect(pasted(asArgument(text))).toEqual([text])
  expect(asArgument('runs/emoji-2')).toBe('runs/emoji-2')
})
