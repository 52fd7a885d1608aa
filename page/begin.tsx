import { useId, useState } from 'preact/hooks'
import type { About, Refused } from '../src/serve/api.ts'
import type { Backend } from './backend.ts'
import { Faults } from './faults.tsx'
import { NumberField, Options, Range } from './fields.tsx'
import type { Form } from './form.ts'
import { MaskPainter } from './mask.tsx'

/** What a drawing begins with: noise, noise between two seeds, or a picture. */

/** Larger files are made smaller here, before they are sent. */
const most = { bytes: 6 * 2 ** 20, side: 1600 }

const smallEnough = async (file: Blob): Promise<Blob> => {
  if (file.size <= most.bytes && file.type !== 'image/svg+xml') return file
  const image = await createImageBitmap(file)
  const scale = Math.min(1, most.side / Math.max(image.width, image.height))
  const canvas = document.createElement('canvas')
  Object.assign(canvas, { width: Math.round(image.width * scale), height: Math.round(image.height * scale) })
  canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height)
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), 'image/png'))
}

export const Begin = (props: {
  readonly backend: Backend
  readonly model: string
  readonly about: About
  readonly form: Form
  readonly change: (part: Partial<Form>) => void
}) => {
  const { backend, model, about, form, change } = props
  const [busy, setBusy] = useState(false)
  const [over, setOver] = useState(false)
  const [refused, setRefused] = useState<Refused['errors']>([])
  const id = useId()

  const take = async (file: Blob | undefined): Promise<void> => {
    if (file === undefined) return
    setBusy(true)
    setRefused([])
    try {
      const found = await backend.picture(model, await smallEnough(file))
      if ('errors' in found) setRefused(found.errors)
      else change({ picture: found, mask: undefined, begin: 'picture' })
    } catch (reason) {
      setRefused([{ tag: 'file', at: 'the picture', expected: 'a picture that can be read', got: String(reason) }])
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <Options
        legend="Begin with"
        value={form.begin}
        options={[
          ['noise', 'Noise'],
          ['between', 'Two seeds'],
          ['picture', 'A picture'],
        ]}
        set={(begin) => change({ begin })}
      />
      {form.begin === 'between' && (
        <>
          <NumberField label="To seed" value={form.towards} min={0} set={(towards) => change({ towards })} />
          <p class="hint">
            The first picture is that of the seed, the last that of the other; those between are on the way. Samplers
            that draw noise at each step, such as euler-ancestral, give all of them the same, so that they differ less:
            ddim and dpm++-2m draw none.
          </p>
        </>
      )}
      {form.begin === 'picture' && (
        <>
          <label
            for={id}
            class={`drop${over ? ' over' : ''}`}
            onDragOver={(e) => {
              e.preventDefault()
              setOver(true)
            }}
            onDragLeave={() => setOver(false)}
            onDrop={(e) => {
              e.preventDefault()
              setOver(false)
              void take(e.dataTransfer?.files[0])
            }}
          >
            <span>
              {busy
                ? 'Reading the picture …'
                : form.picture === undefined
                  ? 'Choose a picture, or drop one here'
                  : 'Choose another picture'}
            </span>
            <input
              id={id}
              type="file"
              accept="image/png,image/jpeg,image/webp,image/gif,image/avif"
              disabled={busy}
              onChange={({ currentTarget }) => {
                void take(currentTarget.files?.[0])
                currentTarget.value = ''
              }}
            />
          </label>
          <Faults errors={refused} />
          {form.picture !== undefined && (
            <>
              <div class="pair" role="status">
                <figure>
                  <img src={form.picture.picture} alt="Yours, at the size of the model" />
                  <figcaption>Yours</figcaption>
                </figure>
                <figure>
                  <img src={form.picture.reconstruction} alt="Yours, through the first stage and back" />
                  <figcaption>Reconstructed, {form.picture.psnr.toFixed(1)} dB</figcaption>
                </figure>
              </div>
              <MaskPainter picture={form.picture.picture} {...about.size} set={(mask) => change({ mask })} />
              {form.mask === undefined && (
                <Range
                  {...{ label: 'Strength', value: form.strength, min: 0, max: 1, step: 0.05 }}
                  says={`${Math.round(100 * form.strength)} % drawn anew`}
                  set={(strength) => change({ strength })}
                />
              )}
            </>
          )}
        </>
      )}
    </>
  )
}
