import { createServer, type Socket } from 'node:net'
import { type Effect, failure, reasonOf } from '../../error.ts'
import { E, TE } from '../../prelude.ts'
import { framed, limits, protocol, type Reply, type Request, request, unframing } from './messages.ts'
import { type Placement, showAddress } from './placement.ts'
import { store } from './store.ts'

/** How long is waited (ms). */
export interface Patience {
  /** For all to be there. */
  readonly join: number
  /** For one that has connected to say who it is. */
  readonly hello: number
  /** Between two signs of life, and until one who gives none is gone. */
  readonly beat: number
  readonly silence: number
  /** For the others to leave, once all is done. */
  readonly leave: number
}
/** As long as JAX waits for all to come. */
export const patience: Patience = { join: 300_000, hello: 30_000, beat: 10_000, silence: 100_000, leave: 30_000 }

/** Calls back when so long (ms) nothing was heard; time in which this process itself was busy does not count. */
export const listening = ({ beat, silence }: Patience, onBeat: () => void, onSilence: () => void) => {
  let [heard, last] = [performance.now(), performance.now()]
  const timer = setInterval(() => {
    const now = performance.now()
    const wasBusy = now - last > 2 * beat
    last = now
    if (wasBusy) heard = now
    onBeat()
    if (now - heard > silence) onSilence()
  }, beat)
  timer.unref()
  return {
    hear: (): void => {
      heard = performance.now()
    },
    end: (): void => clearInterval(timer),
  }
}

export interface Coordinator {
  /** Whether one of all has asked for a stop. */
  readonly stopAsked: () => boolean
  /** Waits for the others to leave, and ends. */
  readonly close: () => Promise<void>
  /** Ends, and tells all others why. */
  readonly fail: (reason: string) => void
}

const someOf = (ranks: readonly number[]): string => `rank ${ranks.join(', ')}`

/**
 * Listens at the coordinator's address, and there alone, for all ranks, this one too. Who does not say in time and in few bytes that he is
 * one of them is sent away. Errors: `run`, an address that is not this machine's, or taken.
 */
export const coordinate = (
  { coordinator, ranks }: Placement,
  version: string,
  wait: Patience = patience,
): Effect<Coordinator> => {
  const values = store()
  const members = new Map<number, Socket>()
  const left = new Set<number>()
  const sockets = new Set<Socket>()
  const state = { welcomed: false, over: false, stop: false }
  const send = (socket: Socket, message: Reply): void => {
    const frame = framed(message)
    if (E.isRight(frame) && !socket.destroyed) socket.write(frame.right)
  }
  const tellAll = (message: Reply): void => {
    for (const socket of members.values()) send(socket, message)
  }
  const lose = (rank: number, reason: string): void => {
    if (state.over || left.has(rank)) return
    state.over = true
    tellAll({ kind: 'lost', rank, reason })
  }
  const whoIsMissing = (): readonly number[] =>
    Array.from({ length: ranks }, (_, r) => r).filter((r) => !members.has(r))
  const joining = setTimeout(() => {
    state.over = true
    tellAll({
      kind: 'refused',
      expected: `all ${ranks} ranks within ${wait.join / 1000} s`,
      got: `nothing of ${someOf(whoIsMissing())}`,
    })
  }, wait.join)
  joining.unref()

  const accept = (socket: Socket): void => {
    const own: { rank?: number } = {}
    const questions = new Set<{ readonly takeBack: () => void }>()
    const read = unframing(request, () => (own.rank === undefined ? limits.hello : limits.message))
    const life = listening(
      wait,
      () => own.rank !== undefined && send(socket, { kind: 'alive' }),
      () => gone(`no sign of life for ${wait.silence / 1000} s`),
    )
    const stranger = setTimeout(() => own.rank === undefined && socket.destroy(), wait.hello)
    stranger.unref()
    const gone = (reason: string): void => {
      life.end()
      clearTimeout(stranger)
      for (const { takeBack } of questions) takeBack()
      questions.clear()
      sockets.delete(socket)
      socket.destroy()
      if (own.rank === undefined || members.get(own.rank) !== socket) return
      members.delete(own.rank)
      if (state.welcomed) lose(own.rank, reason)
    }
    const refuse = (expected: string, got: string): void => {
      send(socket, { kind: 'refused', expected, got })
      socket.end()
    }
    const answers: { readonly [K in Request['kind']]: (message: Extract<Request, { readonly kind: K }>) => void } = {
      hello: (told) => {
        if (own.rank !== undefined) return gone('it said twice who it is')
        if (told.protocol !== protocol || told.version !== version)
          return refuse(`latentgraph ${version}, as rank 0 has it`, `${told.version} (${told.protocol})`)
        if (told.ranks !== ranks) return refuse(`--ranks ${ranks}, as rank 0 has it`, String(told.ranks))
        if (told.rank >= ranks) return refuse(`a rank of 0 to ${ranks - 1}`, String(told.rank))
        if (members.has(told.rank)) return refuse('each rank once', `a second rank ${told.rank}`)
        own.rank = told.rank
        members.set(told.rank, socket)
        if (members.size < ranks || state.over) return
        clearTimeout(joining)
        state.welcomed = true
        tellAll({ kind: 'welcome' })
      },
      put: ({ key, value, reads }) => {
        if (!values.put(key, value, reads)) gone('too many values')
      },
      get: ({ id, key, within }) => {
        const question = { takeBack: () => {} }
        questions.add(question)
        question.takeBack = values.get(key, within, (value) => {
          questions.delete(question)
          send(socket, value === undefined ? { kind: 'missing', id } : { kind: 'value', id, value })
        })
      },
      stop: () => {
        state.stop = true
      },
      bye: () => {
        left.add(own.rank ?? -1)
      },
      failed: ({ reason }) => gone(reason),
      alive: () => {},
    }
    const take = <K extends Request['kind']>(kind: K, message: Extract<Request, { readonly kind: K }>): void => {
      if (kind === 'hello' || own.rank !== undefined) answers[kind](message)
      else socket.destroy()
    }
    sockets.add(socket)
    socket.unref()
    socket.setNoDelay(true)
    socket.on('data', (piece) => {
      life.hear()
      const messages = read(new Uint8Array(piece))
      if (E.isLeft(messages)) return gone('it does not speak as ranks do')
      for (const message of messages.right) take(message.kind, message)
    })
    socket.on('error', ({ message }) => gone(message))
    socket.on('close', () => gone('its connection was closed'))
  }

  const server = createServer(accept)
  // Beside all ranks some strangers.
  server.maxConnections = ranks + 64
  const end = (): void => {
    clearTimeout(joining)
    state.over = true
    server.close()
    for (const socket of sockets) socket.end()
  }
  const close = async (): Promise<void> => {
    const until = performance.now() + wait.leave
    while (!state.over && performance.now() < until && [...members.keys()].some((rank) => rank > 0 && !left.has(rank)))
      await new Promise((resolve) => setTimeout(resolve, 20))
    end()
  }
  const fail = (reason: string): void => {
    lose(0, reason)
    end()
  }
  return TE.tryCatch(
    () =>
      new Promise<Coordinator>((resolve, reject) => {
        server.once('error', reject)
        server.listen(coordinator.port, coordinator.host, () => {
          server.off('error', reject)
          server.on('error', () => {})
          server.unref()
          resolve({ stopAsked: () => state.stop, close, fail })
        })
      }),
    (e) => {
      clearTimeout(joining)
      return [
        failure(
          'run',
          `--coordinator ${showAddress(coordinator)}`,
          'an address of this machine, where rank 0 listens, and a free port',
          reasonOf(e),
        ),
      ]
    },
  )
}
