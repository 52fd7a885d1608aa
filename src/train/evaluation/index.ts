import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, effect, failure } from '../../error.ts'
import { autoencoderOf } from '../../experiment/document.ts'
import { writeFileAtomic } from '../../io/atomic.ts'
import { readBytes, sha256 } from '../../io/bytes.ts'
import { TE } from '../../prelude.ts'
import { type Parted, picturesOf } from '../data.ts'
import type { Evaluated, EvaluationOptions } from './asked.ts'
import { bitsFigures, bitsTerms } from './bits.ts'
import { captionable, captionFigures } from './captions.ts'
import { comparable, type Evaluation, type Terms } from './document.ts'
import { reconstructionFigures } from './reconstructions.ts'
import { comparableSets, referencesOf, sampleFigures } from './samples.ts'
import { evaluationSection, withSection } from './section.ts'

export * from './asked.ts'
export * from './document.ts'
export * from './extractors.ts'
export * from './section.ts'

/** A digest of pictures, in whichever order. */
const dataDigest = ({ train, heldOut }: Parted): string =>
  sha256(
    [train, heldOut]
      .flatMap(({ n, about }) => Array.from({ length: n }, (_, i) => about(i).sha256))
      .toSorted()
      .join('\n'),
  )

/** Puts the figures into the run's report, in the place of earlier ones. False: there is none. Errors: `file`. */
const intoReport = (dir: string, found: Evaluation): Effect<boolean> =>
  effect(async (run) => {
    const path = join(dir, 'report.html')
    if (!existsSync(path)) return false
    const pictures = []
    for (const { nearest } of found.samples?.features ?? [])
      pictures.push(await run(readBytes(join(dir, nearest.picture))))
    const page = new TextDecoder().decode(await run(readBytes(path)))
    const whole = withSection(page, evaluationSection(found, pictures))
    if (whole === undefined) return false
    await run(writeFileAtomic(path, new TextEncoder().encode(whole)))
    return true
  })

/**
 * Evaluates a trained run, and writes `evaluation.json`, pictures of the nearest training pictures and a section of the report into its
 * folder; `reported` is false where there is no report. Errors: `usage`, too few pictures or too many, or others than the evaluation has
 * that this one is to be compared with; those of networks and files.
 */
export const evaluate = (
  evaluated: Evaluated,
  o: EvaluationOptions,
): Effect<{ readonly found: Evaluation; readonly reported: boolean }> =>
  effect(async (run) => {
    const { experiment, data, firstStage, diffusion, checkpoints } = evaluated
    const about: Evaluation['data'] = {
      size: experiment.data.size,
      trained: data.train.n,
      heldOut: data.heldOut.n,
      sha256: dataDigest(data),
    }
    if (diffusion !== undefined) {
      await run(comparableSets(evaluated, o))
    }
    const drawn: Terms = {
      data: about,
      ...(diffusion === undefined
        ? {}
        : {
            samples: {
              count: o.count,
              features: o.extractors.map(({ name, identity }) => ({
                extractor: name,
                identity,
                references: referencesOf(data, o).n,
              })),
            },
          }),
    }
    const known = diffusion === undefined ? undefined : { experiment, firstStage, ...diffusion }
    if (o.bits !== undefined && known === undefined)
      await run(TE.left([failure('usage', '--bits-per-dim', 'a run with a diffusion stage', 'a first stage alone')]))
    const asked = known === undefined || o.bits === undefined ? undefined : { known, timesteps: o.bits }
    const terms: Terms = { ...drawn, ...(asked === undefined ? {} : { bits: bitsTerms(asked.known, asked.timesteps) }) }
    if (o.against !== undefined) await run(TE.fromEither(comparable(o.against.path, terms, o.against.evaluation)))
    if (o.captions !== undefined) await run(TE.fromEither(captionable(evaluated)))
    o.listener.doing('reconstructing held-out pictures')
    const autoencoder = autoencoderOf(experiment)
    const reconstructions =
      autoencoder === undefined
        ? undefined
        : await run(reconstructionFigures(o.executor, autoencoder, firstStage, picturesOf(data.heldOut)))
    if (asked !== undefined) o.listener.doing('computing bits per dimension')
    const bits =
      asked === undefined
        ? undefined
        : await run(
            bitsFigures(asked.known, data.heldOut, {
              executor: o.executor,
              timesteps: asked.timesteps,
              seed: o.seed,
              onStep: (done, of) => o.listener.onStep('bits per dimension', done, of),
            }),
          )
    const captions = o.captions === undefined ? undefined : await run(captionFigures(evaluated, o.captions, o))
    const found: Evaluation = {
      format: 'latentgraph-evaluation',
      version: 1,
      latentgraph: o.version,
      executor: o.executor.name,
      run: { name: experiment.name, seed: experiment.seed, checkpoints },
      data: about,
      ...(reconstructions === undefined ? {} : { reconstructions }),
      ...(bits === undefined ? {} : { bits }),
      ...(captions === undefined ? {} : { captions }),
      ...(diffusion === undefined ? {} : { samples: await run(sampleFigures({ ...evaluated, diffusion }, o)) }),
    }
    await run(
      writeFileAtomic(join(o.dir, 'evaluation.json'), new TextEncoder().encode(`${JSON.stringify(found, null, 2)}\n`)),
    )
    return { found, reported: await run(intoReport(o.dir, found)) }
  })
