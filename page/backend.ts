import type { LatentError } from '../src/error.ts'
import type { DrawingEvent, Drawn, Models, Reconstructed, Refused, Settings, TrainingEvent } from '../src/serve/api.ts'

/** How far a page has come that must fetch its model first. */
export interface Opening {
  /** Bytes that are there, and all; the same where it is ready. */
  readonly done: number
  readonly of: number
  /** What it draws on. */
  readonly says: string
  readonly errors: readonly LatentError[]
}

/** Who draws for the page. */
export interface Backend {
  /** Where everything stays. */
  readonly says: string
  /** Whether the command line gives the same pictures to the byte, or to what single precision rounds. */
  readonly exactly: boolean
  /** Follows how the model is fetched, where it is, until what it returns is called. */
  readonly opening?: (told: (opening: Opening) => void) => () => void
  readonly models: () => Promise<Models>
  readonly gallery: () => Promise<readonly Drawn[]>
  /** Draws; resolves when it is done, or has failed. */
  readonly sample: (
    model: string,
    settings: Settings,
    told: (event: DrawingEvent) => void,
    signal: AbortSignal,
  ) => Promise<void>
  /** A picture at the model's size, and what its first stage makes of it. */
  readonly picture: (model: string, file: Blob) => Promise<Reconstructed | Refused>
  /** Follows a training until what it returns is called. */
  readonly training: (model: string, told: (event: TrainingEvent) => void) => () => void
}

const parsed = <A>(text: string): A => JSON.parse(text)

/** The events of a stream, one after the other. */
const eventsOf = async (body: ReadableStream<Uint8Array>, told: (data: string) => void): Promise<void> => {
  const reader = body.getReader()
  const text = new TextDecoder()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const parts = (rest + text.decode(value, { stream: true })).split('\n\n')
    rest = parts.pop() ?? ''
    for (const part of parts) if (part.startsWith('data: ')) told(part.slice('data: '.length))
  }
}

const place = (model: string): string => `api/models/${encodeURIComponent(model)}`

/** The server that the page came from. */
export const server: Backend = {
  says: 'all of it on this machine; nothing is sent elsewhere.',
  exactly: true,
  models: async () => parsed(await (await fetch('api/models')).text()),
  gallery: async () => parsed(await (await fetch('api/gallery')).text()),
  sample: async (model, settings, told, signal) => {
    const response = await fetch(`${place(model)}/sample`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(settings),
      signal,
    })
    if (!response.ok || response.body === null) {
      const { errors } = parsed<Refused>(await response.text())
      return told({ kind: 'failed', errors })
    }
    await eventsOf(response.body, (data) => told(parsed(data)))
  },
  picture: async (model, file) => {
    const response = await fetch(`${place(model)}/picture`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: file,
    })
    return parsed(await response.text())
  },
  training: (model, told) => {
    const source = new EventSource(`${place(model)}/training`)
    source.addEventListener('message', ({ data }: MessageEvent<string>) => told(parsed(data)))
    return () => source.close()
  },
}
