import { useEffect, useId, useRef } from 'preact/hooks'
import type { Drawing } from './drawing.ts'

/** The pictures as they emerge, and the way that they came. */

const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`

/** What is said aloud: not each step. */
export const statusOf = (d: Drawing): string => {
  if (d.phase === 'queued') return `Waiting for others: place ${d.place}`
  if (d.phase === 'drawing') return d.of === 0 ? 'Preparing' : 'Drawing'
  if (d.phase === 'done') return `${plural(d.pictures.length, 'picture')} drawn in ${((d.ms ?? 0) / 1000).toFixed(1)} s`
  if (d.phase === 'stopped') return `Stopped at step ${d.done} of ${d.of}`
  return d.phase === 'failed' ? 'Nothing was drawn' : ''
}

export const Stage = (props: {
  readonly drawing: Drawing
  readonly count: number
  readonly title: string
  /** The picture whose way is shown, and the frame of it that is looked at; the last where none. */
  readonly chosen: number
  readonly choose: (picture: number) => void
  readonly frame: number | undefined
  readonly look: (frame: number | undefined) => void
}) => {
  const { drawing, title, chosen, choose, frame, look } = props
  const { frames, phase, done, of } = drawing
  const busy = phase === 'queued' || phase === 'drawing'
  const at = frame === undefined ? undefined : frames[frame]
  const shown = at?.pictures ?? (drawing.pictures.length > 0 ? drawing.pictures : (frames.at(-1)?.pictures ?? []))
  const places = Array.from({ length: Math.max(shown.length, busy ? props.count : 0) }, (_, n) => ({
    n,
    url: shown[n],
  }))
  const strip = useRef<HTMLOListElement>(null)
  const where = at === undefined ? (busy ? 'now' : 'the end') : `step ${at.done} of ${of}`
  const slider = useId()
  useEffect(() => {
    if (frame === undefined && strip.current !== null) strip.current.scrollLeft = strip.current.scrollWidth
  }, [frames.length, frame])
  return (
    <section class="stage" id="stage" aria-label="Pictures" aria-busy={busy}>
      <div class="row status">
        <p role="status">{statusOf(drawing)}</p>
        {of > 0 && (
          <>
            <progress value={done} max={of} aria-label="Steps done" />
            <span class="hint">
              {done}/{of}
            </span>
          </>
        )}
      </div>
      {places.length === 0 ? (
        <p class="empty">Nothing drawn yet. Say what to draw, then press Draw.</p>
      ) : (
        <ul class={`grid of-${Math.min(4, Math.ceil(Math.sqrt(places.length)))}`}>
          {places.map(({ n, url }) => (
            <li key={n}>
              <button
                type="button"
                class="picture"
                aria-pressed={chosen === n}
                disabled={url === undefined}
                onClick={() => choose(n)}
              >
                {url === undefined ? (
                  <span class="noise" />
                ) : (
                  <img src={url} alt={`${title}, ${n + 1}${at === undefined ? '' : `, step ${at.done}`}`} />
                )}
              </button>
            </li>
          ))}
        </ul>
      )}
      {frames.length > 1 && (
        <div class="way">
          <label for={slider}>
            How picture {Math.min(chosen, places.length - 1) + 1} came: <output>{where}</output>
          </label>
          <input
            id={slider}
            type="range"
            min={0}
            max={frames.length}
            value={frame ?? frames.length}
            aria-valuetext={where}
            onInput={({ currentTarget: { valueAsNumber: n } }) => look(n >= frames.length ? undefined : n)}
          />
          <ol class="strip" ref={strip} aria-label="Film strip">
            {frames.map(({ done: step, pictures }, i) => (
              <li key={step}>
                <button
                  type="button"
                  tabIndex={-1}
                  aria-current={frame === i}
                  aria-label={`Step ${step}`}
                  onClick={() => look(frame === i ? undefined : i)}
                >
                  <img src={pictures[chosen] ?? pictures[0] ?? ''} alt="" />
                </button>
              </li>
            ))}
          </ol>
        </div>
      )}
    </section>
  )
}
