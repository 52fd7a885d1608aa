import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type { Drawn, Models, ModelView } from '../src/serve/api.ts'
import type { Backend, Opening } from './backend.ts'
import { Controls } from './controls.tsx'
import { after, begun, type Drawing, idle } from './drawing.ts'
import { Faults } from './faults.tsx'
import { Choice } from './fields.tsx'
import { type Form, formFor, formOf, settingsOf } from './form.ts'
import { Gallery } from './gallery.tsx'
import { OpeningView } from './opening.tsx'
import { Stage } from './stage.tsx'
import { TrainingView } from './training.tsx'

/** How often it is looked whether a run can draw by now (ms). */
const look = 5000

const unreachable = (reason: unknown) =>
  ({
    tag: 'run',
    at: 'the server',
    expected: 'an answer',
    got: reason instanceof Error ? reason.message : String(reason),
  }) as const

/** Where a model lies, and how far it has come. */
const placeOf = (model: ModelView | undefined): string =>
  [
    ...(model === undefined || model.run === model.name ? [] : [model.run]),
    ...(model?.growing === true && model.step !== undefined
      ? [`as of step ${model.step}; each drawing takes the newest checkpoint`]
      : []),
  ].join(', ')

/** Drawing by one model. */
const Studio = ({ backend, model }: { readonly backend: Backend; readonly model: ModelView }) => {
  const { about } = model
  const [form, setForm] = useState<Form | undefined>(about && formFor(about))
  const [drawing, setDrawing] = useState<Drawing>(idle)
  const [title, setTitle] = useState('')
  const [count, setCount] = useState(1)
  const [gallery, setGallery] = useState<readonly Drawn[]>([])
  const [chosen, choose] = useState(0)
  const [frame, lookAt] = useState<number>()
  const running = useRef<AbortController>()
  const change = useCallback((part: Partial<Form>) => setForm((before) => before && { ...before, ...part }), [])

  useEffect(() => {
    if (about !== undefined) setForm((before) => before ?? formFor(about))
  }, [about])
  useEffect(() => {
    void backend
      .gallery()
      .then((all) => setGallery(all.filter((drawn) => drawn.model === model.id)))
      .catch(() => undefined)
    return () => running.current?.abort()
  }, [backend, model.id])

  const draw = async (wanted: Form): Promise<void> => {
    if (about === undefined) return
    const left = new AbortController()
    running.current = left
    const began = performance.now()
    setTitle(wanted.prompt || wanted.class || 'A picture')
    setCount(wanted.count)
    setDrawing(begun)
    choose(0)
    lookAt(undefined)
    const stage = document.getElementById('stage')
    if (stage !== null && stage.getBoundingClientRect().top > innerHeight / 2) stage.scrollIntoView()
    try {
      await backend.sample(
        model.id,
        settingsOf(wanted, about),
        (event) => {
          if (left.signal.aborted) return
          setDrawing((before) => {
            const next = after(before, event)
            return event.kind === 'done' ? { ...next, ms: performance.now() - began } : next
          })
          if (event.kind === 'done') setGallery((before) => [event.drawn, ...before])
        },
        left.signal,
      )
      setDrawing((before) =>
        before.phase === 'done' || before.phase === 'failed'
          ? before
          : { ...before, phase: 'failed', errors: [unreachable('the connection ended')] },
      )
    } catch (reason) {
      setDrawing((before) =>
        left.signal.aborted
          ? { ...before, phase: 'stopped' }
          : { ...before, phase: 'failed', errors: [unreachable(reason)] },
      )
    }
  }
  const beginWith = async (url: string): Promise<void> => {
    const found = await backend.picture(model.id, await (await fetch(url)).blob())
    if ('errors' in found) setDrawing({ ...idle, phase: 'failed', errors: found.errors })
    else change({ picture: found, mask: undefined, begin: 'picture' })
    scrollTo({ top: 0 })
  }
  const busy = drawing.phase === 'queued' || drawing.phase === 'drawing'
  if (about === undefined || form === undefined)
    return (
      <section class="stage">
        <p>This run cannot draw yet; the page looks again by itself.</p>
        <pre class="why">{model.why}</pre>
      </section>
    )
  if (about.picture !== undefined || !['none', 'class', 'text'].includes(about.condition))
    return (
      <section class="stage">
        <p>
          {about.name} is told more than this page can say ({about.picture ?? about.condition}): draw by{' '}
          <code>latentgraph sample {model.run} --help</code>
        </p>
      </section>
    )
  return (
    <>
      <div class="studio">
        <Controls
          {...{ backend, about, form, change, busy }}
          model={model.id}
          draw={(wanted) => void draw(wanted)}
          stop={() => running.current?.abort()}
        />
        <div>
          <Faults errors={drawing.errors} />
          <Stage {...{ drawing, title, count, chosen, choose, frame }} look={lookAt} />
        </div>
      </div>
      <Gallery
        drawn={gallery}
        exactly={backend.exactly}
        again={(drawn) => {
          setForm((before) => before && formOf(before, drawn))
          scrollTo({ top: 0 })
        }}
        beginWith={(url) => void beginWith(url)}
      />
    </>
  )
}

export const App = ({ backend }: { readonly backend: Backend }) => {
  const [models, setModels] = useState<Models>()
  const [fault, setFault] = useState<unknown>()
  const [id, setId] = useState<string>()
  const [opening, setOpening] = useState<Opening>()
  useEffect(() => backend.opening?.(setOpening), [backend])
  const waiting = models?.models.some(({ about, growing }) => about === undefined || growing) ?? true
  useEffect(() => {
    const load = (): void => {
      backend.models().then(
        (found) => {
          setModels(found)
          setFault(undefined)
        },
        (reason) => setFault(reason),
      )
    }
    load()
    if (!waiting) return undefined
    const timer = setInterval(load, look)
    return () => clearInterval(timer)
  }, [backend, waiting])
  const model = models?.models.find((one) => one.id === id) ?? models?.models[0]
  useEffect(() => {
    if (model !== undefined) document.title = `${model.name} · latentgraph`
  }, [model])
  return (
    <>
      <header>
        <h1>{model?.name ?? 'latentgraph'}</h1>
        {models !== undefined && models.models.length > 1 && (
          <Choice label="Model" value={model?.id ?? ''} options={models.models.map((one) => one.id)} set={setId} />
        )}
        <p class="hint">{placeOf(model)}</p>
      </header>
      <main>
        {opening !== undefined && <OpeningView {...opening} />}
        {fault !== undefined && <Faults errors={[unreachable(fault)]} />}
        {model !== undefined && <Studio key={model.id} backend={backend} model={model} />}
        {model?.trained === true && <TrainingView key={`t${model.id}`} backend={backend} model={model.id} />}
      </main>
      <footer>
        <p class="hint">
          latentgraph {models?.version}: {backend.says} {opening?.says}
        </p>
      </footer>
    </>
  )
}
