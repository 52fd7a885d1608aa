import { useId } from 'preact/hooks'
import type { About } from '../src/serve/api.ts'
import type { Backend } from './backend.ts'
import { Begin } from './begin.tsx'
import { Choice, NumberField } from './fields.tsx'
import { type Form, isText } from './form.ts'

const chance = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0

export const Controls = (props: {
  readonly backend: Backend
  readonly model: string
  readonly about: About
  readonly form: Form
  readonly change: (part: Partial<Form>) => void
  readonly busy: boolean
  readonly draw: (form: Form) => void
  readonly stop: () => void
}) => {
  const { backend, model, about, form, change, busy } = props
  const [prompt, negative, newSeed] = [useId(), useId(), useId()]
  const submit = (): void => {
    if (busy) return
    const next = form.newSeed ? { ...form, seed: chance() } : form
    change(next)
    props.draw(next)
  }
  const waits = form.begin === 'picture' && form.picture === undefined
  return (
    <form
      class="controls"
      aria-label="What to draw"
      onSubmit={(e) => {
        e.preventDefault()
        submit()
      }}
    >
      {isText(about) && (
        <div class="field">
          <label for={prompt}>Prompt</label>
          <textarea
            id={prompt}
            rows={2}
            required
            maxLength={about.most.text}
            value={form.prompt}
            onInput={({ currentTarget }) => change({ prompt: currentTarget.value })}
            onKeyDown={(e) => {
              if (e.key !== 'Enter' || e.shiftKey || e.isComposing) return
              e.preventDefault()
              e.currentTarget.form?.requestSubmit()
            }}
          />
          {about.examples.length > 0 && (
            <ul class="examples" aria-label="Prompts to try">
              {about.examples.map((example) => (
                <li key={example}>
                  <button type="button" onClick={() => change({ prompt: example })}>
                    {example}
                  </button>
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
      {!isText(about) && about.classes.length > 0 && (
        <Choice label="Class" value={form.class} options={about.classes} set={(one) => change({ class: one })} />
      )}
      <div class="row">
        <button type="submit" class="main" disabled={busy || waits}>
          Draw
        </button>
        <button type="button" disabled={!busy} onClick={props.stop}>
          Stop
        </button>
      </div>
      <div class="two">
        <NumberField
          {...{ label: 'Pictures', value: form.count, min: 1, max: about.most.count }}
          set={(count) => change({ count })}
        />
        <NumberField
          {...{ label: 'Steps', value: form.steps, min: 1, max: about.most.steps }}
          set={(steps) => change({ steps })}
        />
        <NumberField
          {...{ label: 'Guidance', value: form.guidance, min: 0, max: about.most.guidance, step: 'any' }}
          set={(guidance) => change({ guidance })}
        />
        <NumberField {...{ label: 'Seed', value: form.seed, min: 0 }} set={(seed) => change({ seed })}>
          <button
            type="button"
            class="quiet"
            aria-label="Another seed"
            title="Another seed"
            onClick={() => change({ seed: chance() })}
          >
            ⟳
          </button>
        </NumberField>
      </div>
      <label class="check" for={newSeed}>
        <input
          id={newSeed}
          type="checkbox"
          checked={form.newSeed}
          onChange={({ currentTarget }) => change({ newSeed: currentTarget.checked })}
        />
        <span>Another seed for each drawing</span>
      </label>
      <Begin {...{ backend, model, about, form, change }} />
      <details>
        <summary>Sampler and more</summary>
        <Choice label="Sampler" value={form.sampler} options={about.samplers} set={(sampler) => change({ sampler })} />
        {about.spacings.length > 0 && (
          <Choice
            label="Spacing of steps"
            value={form.spacing}
            options={about.spacings}
            set={(spacing) => change({ spacing })}
          />
        )}
        {isText(about) && (
          <div class="field">
            <label for={negative}>Lead away from</label>
            <input
              id={negative}
              type="text"
              maxLength={about.most.text}
              value={form.negative}
              disabled={form.guidance === 1}
              onInput={({ currentTarget }) => change({ negative: currentTarget.value })}
            />
            {form.guidance === 1 && <p class="hint">Guidance 1 leads nowhere.</p>}
          </div>
        )}
      </details>
    </form>
  )
}
