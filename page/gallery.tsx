import { useState } from 'preact/hooks'
import type { Drawn } from '../src/serve/api.ts'
import { says, titleOf } from './form.ts'

/** What was drawn in this session, each with what gives it again. */

const Copy = ({
  what,
  text,
  told,
}: {
  readonly what: string
  readonly text: string
  readonly told: (said: string) => void
}) => (
  <button
    type="button"
    class="quiet"
    onClick={async () => {
      try {
        await navigator.clipboard.writeText(text)
        told(`The ${what} is copied`)
      } catch {
        told(`The browser copies nothing here: select the ${what} below`)
      }
    }}
  >
    Copy {what}
  </button>
)

export const Gallery = (props: {
  readonly drawn: readonly Drawn[]
  readonly exactly: boolean
  readonly again: (drawn: Drawn) => void
  readonly beginWith: (url: string) => void
}) => {
  const [said, setSaid] = useState('')
  if (props.drawn.length === 0) return null
  return (
    <section class="gallery" aria-labelledby="gallery">
      <h2 id="gallery">Gallery</h2>
      <p role="status" class="said">
        {said}
      </p>
      <ul class="cards">
        {props.drawn.map((d) => (
          <li key={d.id} class="card">
            <h3>{titleOf(d.settings)}</h3>
            <p class="hint">{says(d)}</p>
            <ul class="thumbs">
              {d.pictures.map((url, i) => (
                <li key={url}>
                  <a href={url} download={`${d.id}-${i + 1}.png`}>
                    <img src={url} alt={`Save ${titleOf(d.settings)}, ${i + 1}`} />
                  </a>
                </li>
              ))}
            </ul>
            <div class="row">
              <button type="button" class="quiet" onClick={() => props.again(d)}>
                Use settings
              </button>
              {d.pictures[0] !== undefined && (
                <button type="button" class="quiet" onClick={() => props.beginWith(d.pictures[0] ?? '')}>
                  Begin with it
                </button>
              )}
              <Copy what="command" text={d.command} told={setSaid} />
              <Copy what="program" text={d.program} told={setSaid} />
            </div>
            <details>
              <summary>The same again{props.exactly ? ', to the byte' : ', by the run itself'}</summary>
              {d.from !== undefined && (
                <p>
                  Beside it:{' '}
                  <a href={d.from} download="from.png">
                    from.png
                  </a>
                  {d.mask !== undefined && (
                    <>
                      {' and '}
                      <a href={d.mask} download="mask.png">
                        mask.png
                      </a>
                    </>
                  )}
                </p>
              )}
              <pre>{d.command}</pre>
              <pre>{d.program}</pre>
            </details>
          </li>
        ))}
      </ul>
    </section>
  )
}
