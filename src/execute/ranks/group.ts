import { connect, type Socket } from 'node:net'
import { type Checked, type Effect, type Errors, effect, failure, reasonOf } from '../../error.ts'
import { E, TE } from '../../prelude.ts'
import { type Coordinator, coordinate, listening, type Patience, patience } from './coordinator.ts'
import { framed, limits, protocol, type Reply, type Request, reply, unframing } from './messages.ts'
import { type Placement, showAddress } from './placement.ts'

/** Processes that work on one thing, as one of them has it. */
export interface Group {
  readonly placement: Placement
  /** Keeps a value for all, who read it so often at most. */
  readonly put: (key: string, value: Uint8Array, reads?: number) => void
  /** A value that one of all puts; undefined: not within so long (ms). Errors (`run`): one of all has gone, or this one has left. */
  readonly get: (key: string, within?: number) => Effect<Uint8Array | undefined>
  /** Why this one cannot go on, once one of all has gone. */
  readonly lost: () => Errors | undefined
  /** Told so when it is; returns what takes that back. */
  readonly onLost: (told: (errors: Errors) => void) => () => void
  /** Asks for all to stop, which rank 0 then knows. */
  readonly askStop: () => void
  readonly stopAsked: () => boolean
  /** Leaves, as all is done; what waits here for a value is an error. */
  readonly leave: () => Promise<void>
  /** Leaves with an error, which the others are told, and what waits here too. */
  readonly fail: (reason: string) => void
}

const connected = ({ coordinator }: Placement): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(coordinator.port, coordinator.host, () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  })

/** Between two tries to connect (ms). */
const pause = 100
const whenThere = async (placement: Placement, within: number): Promise<Socket> => {
  for (const until = performance.now() + within; ; ) {
    try {
      return await connected(placement)
    } catch (e) {
      if (performance.now() > until) throw e
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}

const nameOf = ({ rank, ranks }: Placement): string => `rank ${rank} of ${ranks}`
const inTime = (ms: number): string => `within ${ms / 1000} s`

const talking = (placement: Placement, socket: Socket, own: Coordinator | undefined, wait: Patience) => {
  const where = showAddress(placement.coordinator)
  const waiting = new Map<
    number,
    { readonly key: string; readonly answer: (value: Checked<Uint8Array | undefined>) => void }
  >()
  const state: { next: number; ended?: Errors; lost?: Errors } = { next: 0 }
  const listeners = new Set<(errors: Errors) => void>()
  let welcome = (_?: Errors): void => {}
  const welcomed = new Promise<Errors | undefined>((resolve) => {
    welcome = resolve
  })
  /** Nothing is asked from now on, and who waits is answered. */
  const over = (errors: Errors): void => {
    state.ended = errors
    life.end()
    for (const { answer } of waiting.values()) answer(E.left(errors))
    waiting.clear()
  }
  const end = (errors: Errors): void => {
    if (state.ended !== undefined) return
    state.lost = errors
    over(errors)
    socket.end()
    socket.unref()
    welcome(errors)
    for (const told of listeners) told(errors)
    listeners.clear()
  }
  const gone = (rank: number, reason: string): void => {
    const [waits] = waiting.values()
    const what = waits === undefined ? '' : `; this rank waited for ${waits.key}`
    const hint = `the first error of ${rank === 0 ? 'rank 0' : 'that rank'} says why; train --resume goes on from the last checkpoint`
    end([
      failure(
        'run',
        `${nameOf(placement)}, coordinator ${where}`,
        `rank ${rank} to stay to the end`,
        `${reason}${what}`,
        hint,
      ),
    ])
  }
  const refuse = (expected: string, got: string): void =>
    end([failure('run', `${nameOf(placement)}, coordinator ${where}`, expected, got)])
  const life = listening(
    wait,
    () => send({ kind: 'alive' }),
    () => gone(0, `no sign of life for ${wait.silence / 1000} s`),
  )
  const send = (message: Request): void => {
    const frame = framed(message)
    if (E.isLeft(frame)) end(frame.left)
    else if (state.ended === undefined) socket.write(frame.right)
  }
  const answered = (id: number, value: Uint8Array | undefined): void => {
    const asked = waiting.get(id)
    waiting.delete(id)
    if (waiting.size === 0) socket.unref()
    asked?.answer(E.right(value))
  }
  const answers: { readonly [K in Reply['kind']]: (message: Extract<Reply, { readonly kind: K }>) => void } = {
    welcome: () => welcome(),
    refused: ({ expected, got }) => refuse(expected, got),
    value: ({ id, value }) => answered(id, new Uint8Array(Buffer.from(value, 'base64'))),
    missing: ({ id }) => answered(id, undefined),
    lost: ({ rank, reason }) => gone(rank, reason),
    alive: () => {},
  }
  const take = <K extends Reply['kind']>(kind: K, message: Extract<Reply, { readonly kind: K }>): void =>
    answers[kind](message)
  // Whole messages of rank 0, with a value as long as one may be.
  const read = unframing(reply, () => 2 * limits.message)
  socket.setNoDelay(true)
  socket.on('data', (piece) => {
    life.hear()
    const messages = read(new Uint8Array(piece))
    if (E.isLeft(messages)) return gone(0, 'it does not speak as ranks do')
    for (const message of messages.right) take(message.kind, message)
  })
  socket.on('error', ({ message }) => gone(0, message))
  socket.on('close', () => gone(0, 'its connection was closed'))
  const group: Group = {
    placement,
    put: (key, value, reads) =>
      send({
        kind: 'put',
        key,
        value: Buffer.from(value).toString('base64'),
        ...(reads === undefined ? {} : { reads }),
      }),
    get: (key, within) => () =>
      new Promise((resolve) => {
        if (state.ended !== undefined) return resolve(E.left(state.ended))
        const id = state.next++
        waiting.set(id, { key, answer: resolve })
        socket.ref()
        send({ kind: 'get', id, key, ...(within === undefined ? {} : { within }) })
      }),
    lost: () => state.lost,
    onLost: (told) => {
      if (state.lost !== undefined) told(state.lost)
      else listeners.add(told)
      return () => void listeners.delete(told)
    },
    askStop: () => send({ kind: 'stop' }),
    stopAsked: () => own?.stopAsked() ?? false,
    leave: async () => {
      if (state.ended !== undefined) return
      send({ kind: 'bye' })
      over([failure('run', nameOf(placement), 'a member of the group', 'one that has left')])
      await own?.close()
      socket.end()
      socket.unref()
    },
    fail: (reason) => {
      if (state.ended !== undefined) return
      if (own === undefined) send({ kind: 'failed', reason })
      else own.fail(reason)
      end([failure('run', `${nameOf(placement)}, coordinator ${where}`, 'to stay to the end', reason)])
    },
  }
  return { group, send, welcomed, refuse }
}

/**
 * Joins the processes that belong together: rank 0 listens, all connect to it, and each goes on when all are there. Errors: `run`, with this
 * rank, the coordinator and what was waited for.
 */
export const join = (placement: Placement, version: string, wait: Patience = patience): Effect<Group> =>
  effect(async (run) => {
    const { rank, ranks, coordinator } = placement
    const own = rank === 0 ? await run(coordinate(placement, version, wait)) : undefined
    const socket = await run(
      TE.tryCatch(
        () => whenThere(placement, wait.join),
        (e): Errors => [
          failure(
            'run',
            nameOf(placement),
            `rank 0 to listen at ${showAddress(coordinator)} ${inTime(wait.join)}`,
            reasonOf(e),
            'every rank is started with the same --coordinator, of the machine of rank 0',
          ),
        ],
      ),
    )
    const { group, send, welcomed, refuse } = talking(placement, socket, own, wait)
    send({ kind: 'hello', protocol, version, rank, ranks })
    const late = setTimeout(
      () => refuse(`${showAddress(coordinator)} to answer ${inTime(wait.join)}`, 'nothing'),
      wait.join + wait.leave,
    )
    const refused = await welcomed
    clearTimeout(late)
    if (refused === undefined) {
      socket.unref()
      return group
    }
    own?.fail('not all came')
    return run(TE.left(refused))
  })
