import { useEffect, useState } from 'preact/hooks'
import type { Point, TrainingEvent } from '../src/serve/api.ts'
import type { Backend } from './backend.ts'
import { Curve } from './curve.tsx'
import { Choice } from './fields.tsx'

/** A training as it goes: its curves, and what it draws. */

interface Preview {
  readonly step: number
  readonly shows: string
  readonly url: string
}
interface Stage {
  readonly name: string
  readonly steps: number
  readonly points: readonly Point[]
  readonly previews: readonly Preview[]
}
interface Training {
  readonly living: boolean
  readonly stages: readonly Stage[]
}

/** Points of a curve that are kept; every other one goes where there are more. */
const mostPoints = 4000
const bounded = (points: readonly Point[]): readonly Point[] =>
  points.length > mostPoints ? points.filter((_, i) => i % 2 === 0 || i === points.length - 1) : points

const withStage = (t: Training, name: string, change: (stage: Stage) => Stage): Training => ({
  ...t,
  stages: t.stages.map((stage) => (stage.name === name ? change(stage) : stage)),
})
const after = (t: Training, event: TrainingEvent): Training => {
  if (event.kind === 'stages') {
    const known = (name: string) => t.stages.find((stage) => stage.name === name)
    return {
      living: event.living,
      stages: event.stages.map((stage) => ({ points: [], previews: [], ...known(stage.name), ...stage })),
    }
  }
  return withStage(t, event.stage, (stage) =>
    event.kind === 'points'
      ? { ...stage, points: bounded(event.fresh ? event.points : [...stage.points, ...event.points]) }
      : {
          ...stage,
          previews: [...stage.previews.filter(({ url }) => url !== event.url), event].toSorted(
            (a, b) => a.step - b.step,
          ),
        },
  )
}

const metricsOf = (points: readonly Point[]): readonly string[] =>
  [...new Set(points.flatMap((point) => Object.keys(point)))].filter((name) => name !== 'step').toSorted()

const StageView = ({ stage, living }: { readonly stage: Stage; readonly living: boolean }) => {
  const { name, steps, points, previews } = stage
  const metrics = metricsOf(points)
  const [wanted, setWanted] = useState('loss')
  const [looked, look] = useState<string>()
  const metric = metrics.includes(wanted) ? wanted : (metrics[0] ?? 'loss')
  const last = points.at(-1)
  const shown = previews.find(({ url }) => url === looked) ?? previews.at(-1)
  return (
    <article class="training-stage">
      <h3>{name === 'first-stage' ? 'First stage' : 'Diffusion'}</h3>
      <p class="hint">
        {last === undefined ? (living ? 'Not begun yet' : 'Nothing written') : `Step ${last.step} of ${steps}`}
      </p>
      {last !== undefined && (
        <>
          <progress value={last.step ?? 0} max={steps} aria-label={`${name}: steps done`} />
          <Choice label="Curve" value={metric} options={metrics} set={setWanted} />
          <Curve name={`${metric} of ${name}`} points={points} metric={metric} />
        </>
      )}
      {shown !== undefined && (
        <>
          <figure>
            <img src={shown.url} alt={`${shown.shows} after step ${shown.step}`} />
            <figcaption>
              {shown.shows}, step {shown.step}
            </figcaption>
          </figure>
          {previews.length > 1 && (
            <ol class="strip" aria-label={`Previews of ${name}`}>
              {previews.map(({ url, step, shows }) => (
                <li key={url}>
                  <button type="button" aria-current={url === shown.url} onClick={() => look(url)}>
                    <img src={url} alt={`${shows}, step ${step}`} loading="lazy" />
                  </button>
                </li>
              ))}
            </ol>
          )}
        </>
      )}
    </article>
  )
}

export const TrainingView = ({ backend, model }: { readonly backend: Backend; readonly model: string }) => {
  const [training, setTraining] = useState<Training>({ living: false, stages: [] })
  useEffect(() => {
    setTraining({ living: false, stages: [] })
    return backend.training(model, (event) => setTraining((before) => after(before, event)))
  }, [backend, model])
  if (training.stages.length === 0) return null
  return (
    <section class="training" aria-labelledby="training">
      <h2 id="training">Training</h2>
      <p role="status" class="hint">
        {training.living ? 'It goes on; what is below grows with it.' : 'It has ended.'}
      </p>
      <div class="stages">
        {training.stages.map((stage) => (
          <StageView key={stage.name} stage={stage} living={training.living} />
        ))}
      </div>
    </section>
  )
}
