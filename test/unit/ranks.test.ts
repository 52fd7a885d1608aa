/** Longer than 400 lines: groups that are tried in many ways stand beside how their members are named and placed. */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { Patience } from '../../src/execute/ranks/coordinator.ts'
import { type Group, join } from '../../src/execute/ranks/group.ts'
import { framed, limits, protocol, type Request, request, unframing } from '../../src/execute/ranks/messages.ts'
import {
  firstHost,
  launchedBy,
  type Placement,
  parseAddress,
  placementOf,
  showAddress,
} from '../../src/execute/ranks/placement.ts'
import { store } from '../../src/execute/ranks/store.ts'
import { partOf } from '../../src/execute/xla/arrays.ts'
import { visibleTo } from '../../src/execute/xla/client.ts'
import { offsetsOf, structures } from '../../src/execute/xla/pjrt.ts'
import { E } from '../../src/prelude.ts'
import { check } from '../arbitrary/check.ts'
import { right } from '../arbitrary/run.ts'
import { freePort } from '../free-port.ts'

describe('where a process stands', () => {
  const coordinator = (host: string, port: number) => ({ coordinator: { host, port } })
  test.each([
    ['no launcher', {}, undefined],
    ['a shell of Slurm', { SLURM_JOB_ID: '7', SLURM_JOB_NODELIST: 'n1' }, undefined],
    ['one task', { SLURM_PROCID: '0', SLURM_NTASKS: '1', SLURM_STEP_NODELIST: 'n1', SLURM_JOB_ID: '7' }, undefined],
    [
      'srun',
      {
        ...{ SLURM_JOB_ID: '4103', SLURM_STEP_NODELIST: 'n[007,009-012],m3', SLURM_JOB_NODELIST: 'a1' },
        ...{ SLURM_PROCID: '3', SLURM_NTASKS: '8', SLURM_LOCALID: '1', SLURM_STEP_NUM_NODES: '4' },
      },
      { name: 'Slurm', rank: 3, ranks: 8, localRank: 1, ...coordinator('n007', 61447) },
    ],
    [
      'srun of a part of its tasks, by the nodes of the job',
      { SLURM_JOB_ID: '1', SLURM_JOB_NODELIST: 'a,b', SLURM_PROCID: '1', SLURM_NTASKS: '8', SLURM_STEP_NUM_TASKS: '2' },
      { name: 'Slurm', rank: 1, ranks: 2, ...coordinator('a', 61441) },
    ],
    [
      'srun without a list of nodes',
      { SLURM_JOB_ID: '1', SLURM_LAUNCH_NODE_IPADDR: '10.0.0.4', SLURM_PROCID: '1', SLURM_NTASKS: '2' },
      { name: 'Slurm', rank: 1, ranks: 2, ...coordinator('10.0.0.4', 61441) },
    ],
    [
      'mpirun',
      {
        OMPI_MCA_orte_hnp_uri: '1531576320.0;tcp://10.96.0.1,10.148.0.1:34911',
        ...{ OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_LOCAL_RANK: '0' },
      },
      { name: 'Open MPI', rank: 1, ranks: 2, localRank: 0, ...coordinator('10.96.0.1', 61440 + (373920 % 4096)) },
    ],
    [
      'mpirun over IPv6',
      {
        OMPI_MCA_orte_hnp_uri: '4096.0;tcp6://[fe80::b9b,2620::2]:43370',
        ...{ OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '2' },
      },
      { name: 'Open MPI', rank: 0, ranks: 2, ...coordinator('fe80::b9b', 61441) },
    ],
    [
      'Open MPI 5, which does not say where rank 0 is',
      { OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_LOCAL_RANK: '1' },
      { name: 'Open MPI', rank: 1, ranks: 2, localRank: 1 },
    ],
    [
      'mpirun inside an allocation: its ranks, and Slurm’s nodes',
      {
        ...{ OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '2' },
        ...{ SLURM_PROCID: '0', SLURM_NTASKS: '16', SLURM_JOB_ID: '2', SLURM_JOB_NODELIST: 'c4' },
      },
      { name: 'Open MPI', rank: 1, ranks: 2, ...coordinator('c4', 61442) },
    ],
    [
      'mpiexec of MPICH or Intel',
      { PMI_RANK: '2', PMI_SIZE: '3', MPI_LOCALRANKID: '2' },
      { name: 'MPICH', rank: 2, ranks: 3, localRank: 2 },
    ],
    ['nonsense', { PMI_RANK: 'x', PMI_SIZE: '-3', OMPI_COMM_WORLD_RANK: '1' }, undefined],
  ] as const)('is read from the environment: %s', (_, env, launched) => {
    expect(launchedBy(env)).toEqual(launched)
  })

  test.each([
    ['node001', 'node001'],
    ['node001,host2', 'node001'],
    ['node[001-0015],host2', 'node001'],
    ['node[001,007-015],host2', 'node001'],
    ['rack[1-2]n[03-04]', 'rack1n03'],
    ['a[1-2].example.org,b', 'a1.example.org'],
    ['', undefined],
  ])('the first host of %s', (list, host) => {
    expect(firstHost(list)).toBe(host)
  })

  test('law: an address that is shown is read back', () =>
    check(
      fc.asyncProperty(
        fc.record({ host: fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), port: fc.integer({ min: 1, max: 65535 }) }),
        async (address) => {
          expect(right(parseAddress(showAddress(address)))).toEqual(address)
        },
      ),
    ))
  test.each(['', 'host', 'host:', ':80', 'host:0', 'host:65536', 'fe80::1:80', 'a b:80', 'host:8o'])(
    'no address: %j',
    (text) => {
      expect(parseAddress(text)).toMatchObject({ left: [{ tag: 'usage', at: '--coordinator', got: text }] })
    },
  )

  const slurm = { name: 'Slurm', rank: 1, ranks: 4, localRank: 1, coordinator: { host: 'n1', port: 61440 } }
  test('what is typed comes before what a launcher says', () => {
    expect(placementOf({}, undefined)).toEqual(E.right(undefined))
    expect(placementOf({}, slurm)).toMatchObject({
      right: { rank: 1, ranks: 4, localRank: 1, coordinator: { host: 'n1' } },
    })
    expect(placementOf({ coordinator: 'x:9' }, slurm)).toMatchObject({
      right: { rank: 1, coordinator: { host: 'x', port: 9 } },
    })
    expect(placementOf({ ranks: 1 }, slurm)).toEqual(E.right(undefined))
    expect(placementOf({ ranks: 2, rank: 0, coordinator: 'x:9' }, undefined)).toEqual(
      E.right({ ranks: 2, rank: 0, coordinator: { host: 'x', port: 9 } }),
    )
  })
  test.each([
    [{ ranks: 2 }, ['--rank', '--coordinator']],
    [{ rank: 0 }, ['--ranks', '--coordinator']],
    [{ coordinator: 'x:9' }, ['--ranks', '--rank']],
    [{ ranks: 2, rank: 2, coordinator: 'x' }, ['--coordinator', '--rank']],
    [{ ranks: 1, rank: 1, coordinator: 'x:9' }, ['--rank']],
  ])('what nobody says is told together: %j', (asked, options) => {
    const found = placementOf(asked, undefined)
    expect(E.isLeft(found) && found.left.map(({ at }) => at)).toEqual(options)
  })

  test.each([
    [undefined, 2, undefined, undefined],
    [1, 1, undefined, [1]],
    [1, 2, '0,1,2,3', [2, 3]],
    [3, 1, '5', undefined],
  ])('devices of local rank %s, %s each, of %s', (localRank, count, listed, visible) => {
    expect(visibleTo(localRank, count, listed)).toEqual(visible)
  })
  test('law: the parts that all ranks have of a batch, one behind another, are the batch of one', () =>
    check(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 255 }),
        async (ranks, devices, each, from) => {
          const all = ranks * devices
          const batch = Uint8Array.from({ length: all * each }, (_, i) => from + i)
          const parts = Array.from({ length: ranks }, (_, rank) =>
            Array.from({ length: devices }, (_device, i) => [...partOf(batch, rank * devices + i, all)]),
          )
          expect(parts.flat(2)).toEqual([...batch])
        },
      ),
    ))
  test('what a plugin asks lies as pjrt_c_api.h has it', () => {
    expect(offsetsOf(structures.KeyValueGet)).toMatchObject({ within: 32, fail: 40, value: 56, deleter: 72 })
    expect(offsetsOf(structures.KeyValueTryGet)).toMatchObject({ keyLength: 24, fail: 32, value: 48, deleter: 64 })
    expect(offsetsOf(structures.KeyValuePut)).toMatchObject({ value: 32, valueLength: 40, fail: 48 })
  })
})

describe('messages', () => {
  const messages: fc.Arbitrary<Request> = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), key: fc.string(), value: fc.base64String() }),
    fc.record({
      kind: fc.constant('get' as const),
      id: fc.nat(),
      key: fc.string({ unit: 'binary' }),
      within: fc.nat(),
    }),
    fc.record({ kind: fc.constant('failed' as const), reason: fc.string() }),
  )
  test('law: however a stream is cut, it is the same messages', () =>
    check(
      fc.asyncProperty(
        fc.array(messages),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        async (sent, cuts) => {
          const stream = Buffer.concat(sent.map((m) => right(framed(m))))
          const read = unframing(request, () => limits.message)
          const got: Request[] = []
          for (let at = 0, i = 0; at < stream.length; i++) {
            const length = cuts[i % cuts.length] ?? 1
            got.push(...right(read(stream.subarray(at, at + length))))
            at += length
          }
          expect(got).toEqual(sent)
        },
      ),
    ))
  test('one that is too long, or none, is an error, and never an exception', () =>
    check(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        const read = unframing(request, () => 64)
        const head = noise.length >= 4 ? new DataView(noise.buffer, noise.byteOffset).getUint32(0) : 0
        const found = read(noise)
        if (head > 64) expect(found).toMatchObject({ left: [{ expected: 'at most 64 bytes' }] })
        else expect(E.isLeft(found) || found.right.length === 0).toBe(true)
      }),
      300,
    ))
  test('nothing longer than all read is sent', () => {
    expect(framed({ kind: 'put', key: '', value: 'A'.repeat(limits.message) })).toMatchObject({
      left: [{ tag: 'run' }],
    })
  })
})

describe('a store', () => {
  const ask = (s: ReturnType<typeof store>, key: string, within?: number) =>
    new Promise<string | undefined>((resolve) => s.get(key, within, resolve))
  test('gives what is there, waits for what comes, and no longer than is asked', async () => {
    const s = store()
    expect(await ask(s, 'a', 0)).toBeUndefined()
    expect(await ask(s, 'a', 5)).toBeUndefined()
    const coming = [ask(s, 'a', 5000), ask(s, 'a')]
    s.put('a', '1')
    expect(await Promise.all(coming)).toEqual(['1', '1'])
    s.put('a', '2')
    expect(await ask(s, 'a', 0)).toBe('2')
  })
  test('lets go of what was read as often as said', async () => {
    const s = store()
    const first = ask(s, 'a')
    s.put('a', '1', 2)
    expect([await first, await ask(s, 'a', 0), await ask(s, 'a', 0)]).toEqual(['1', '1', undefined])
  })
  test('takes a question back, and no more than so many values', async () => {
    const s = store()
    const told: unknown[] = []
    s.get('a', undefined, (v) => told.push(v))()
    s.put('a', '1', 1)
    expect([told, await ask(s, 'a', 0)]).toEqual([[], '1'])
    const put = Array.from({ length: 2 ** 16 }, (_, i) => s.put(`${i}`, ''))
    expect([put.every((was) => was), s.put('one more', ''), s.put('0', 'x')]).toEqual([true, false, true])
  })
})

describe('a group', () => {
  const quick: Patience = { join: 60_000, hello: 60_000, beat: 100, silence: 60_000, leave: 5000 }
  const open: (() => void)[] = []
  afterEach(() => {
    for (const close of open.splice(0)) close()
  })
  const at = (port: number, rank: number, ranks: number): Placement => ({
    coordinator: { host: '127.0.0.1', port },
    rank,
    ranks,
  })
  const joining = (port: number, rank: number, ranks: number, wait = quick, version = '1') =>
    join(at(port, rank, ranks), version, wait)()
  const groupOf = async (
    ranks: number,
    wait = quick,
  ): Promise<{ readonly port: number; readonly all: readonly Group[] }> => {
    const port = await freePort()
    const all = (await Promise.all(Array.from({ length: ranks }, (_, r) => joining(port, r, ranks, wait)))).map(right)
    for (const g of all) open.push(() => g.fail('the test is over'))
    return { port, all }
  }
  const [bytes, text] = [(s: string) => new TextEncoder().encode(s), (b?: Uint8Array) => new TextDecoder().decode(b)]
  const member = (all: readonly Group[], rank: number): Group => all[rank] ?? expect.unreachable('no such rank')
  const lostOf = (g: Group) => new Promise((resolve) => g.onLost((errors) => resolve(errors)))
  /** A connection of a stranger, and whether it was closed. */
  const stranger = async (port: number): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.on('error', () => {})
    open.push(() => socket.destroy())
    return socket
  }

  test('has what any of its members puts, byte for byte', async () => {
    const { all } = await groupOf(3)
    const value = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256)
    const coming = member(all, 0).get('big', 5000)()
    member(all, 2).put('big', value)
    expect(right(await coming)).toEqual(value)
    expect(right(await member(all, 1).get('none', 0)())).toBeUndefined()
    expect(right(await member(all, 1).get('none', 20)())).toBeUndefined()
    member(all, 1).put('', bytes(''))
    expect(right(await member(all, 2).get('')())).toEqual(bytes(''))
    expect(member(all, 0).stopAsked()).toBe(false)
    member(all, 2).askStop()
    member(all, 2).put('asked', bytes('yes'))
    expect(text(right(await member(all, 0).get('asked')()))).toBe('yes')
    expect(member(all, 0).stopAsked()).toBe(true)
    await Promise.all(all.map((g) => g.leave()))
    expect(all.map((g) => g.lost())).toEqual([undefined, undefined, undefined])
  })

  test('tells who has left so, and who waits when it leaves', async () => {
    const { all } = await groupOf(2)
    const waits = member(all, 1).get('never')()
    await Promise.all(all.map((g) => g.leave()))
    const gone = { left: [{ tag: 'run', expected: 'a member of the group', got: 'one that has left' }] }
    expect(await waits).toMatchObject(gone)
    for (const g of all) expect(await g.get('never', 0)()).toMatchObject(gone)
  })

  test('is not moved by strangers', async () => {
    const { port, all } = await groupOf(2, { ...quick, hello: 2000 })
    const said: readonly (string | Uint8Array)[] = [
      'GET / HTTP/1.1\r\n\r\n',
      Uint8Array.of(0, 0, 0, 2, 1, 2),
      Uint8Array.of(255, 255, 255, 255),
      Uint8Array.of(0, 0, 8, 0),
      right(framed({ kind: 'put', key: 'order 0', value: '' })),
      right(framed({ kind: 'hello', protocol, version: '1', rank: 1, ranks: 2 })),
    ]
    for (const words of said) {
      const socket = await stranger(port)
      const closed = once(socket, 'close')
      socket.write(words)
      socket.resume()
      await closed
    }
    expect(right(await member(all, 1).get('order 0', 0)())).toBeUndefined()
    // One that says nothing is sent away in time.
    const silent = await stranger(port)
    silent.resume()
    await once(silent, 'close')
    expect(all.map((g) => g.lost())).toEqual([undefined, undefined])
  })

  test.each([
    ['a member that goes', (g: Group) => g.fail('no pictures'), 2, 'no pictures; this rank waited for x'],
    ['rank 0', (g: Group) => g.fail('a full disk'), 0, 'a full disk; this rank waited for x'],
  ] as const)('ends where one goes with an error: %s', async (_, go, rank, got) => {
    const { all } = await groupOf(3)
    const waits = member(all, 1).get('x')()
    const [first, second] = all.filter((_g, r) => r !== rank).map(lostOf)
    go(member(all, rank))
    const error = { tag: 'run', expected: `rank ${rank} to stay to the end` }
    expect(await waits).toMatchObject({
      left: [{ ...error, got, at: expect.stringMatching(/^rank 1 of 3, coordinator 127/) }],
    })
    expect([await first, await second]).toMatchObject([[error], [error]])
    expect(await member(all, 1).get('x')()).toMatchObject({ left: [error] })
  })

  test('ends where a member says what no member says, or nothing any more', async () => {
    for (const last of [Uint8Array.of(0, 0, 0, 2, 1, 2), undefined]) {
      const port = await freePort()
      const first = joining(port, 0, 2, { ...quick, silence: 600 })
      let socket = await stranger(port).catch(() => undefined)
      while (socket === undefined) socket = await stranger(port).catch(() => undefined)
      socket.write(right(framed({ kind: 'hello', protocol, version: '1', rank: 1, ranks: 2 })))
      const g = right(await first)
      const lost = lostOf(g)
      if (last !== undefined) socket.write(last)
      const got = last === undefined ? 'no sign of life for 0.6 s' : 'it does not speak as ranks do'
      expect(await lost).toMatchObject([{ expected: 'rank 1 to stay to the end', got }])
    }
  })

  test('takes none that is of another kind', async () => {
    const port = await freePort()
    const first = joining(port, 0, 3)
    const left = async (...[rank, ranks, version = '1']: readonly [number, number, string?]) => {
      const found = await joining(port, rank, ranks, quick, version)
      return E.isLeft(found) ? found.left[0] : undefined
    }
    expect(await left(1, 3, '2')).toMatchObject({ expected: 'latentgraph 1, as rank 0 has it', got: `2 (${protocol})` })
    expect(await left(1, 4)).toMatchObject({ expected: '--ranks 3, as rank 0 has it', got: '4' })
    expect(await left(0, 3)).toMatchObject({ got: expect.stringContaining('EADDRINUSE') })
    // Whichever of two comes second is sent away.
    const twice = [joining(port, 1, 3), joining(port, 1, 3)]
    const away = await Promise.race(twice)
    expect(away).toMatchObject({ left: [{ expected: 'each rank once', got: 'a second rank 1' }] })
    const second = (await Promise.race([twice[0], Promise.resolve()])) === away ? twice[1] : twice[0]
    const third = joining(port, 2, 3)
    for (const g of await Promise.all([first, second, third])) if (g) open.push(() => right(g).fail('over'))
  })

  test('says who has not come, and where nobody listens', async () => {
    const wait = { ...quick, join: 1500 }
    const port = await freePort()
    const [zero, two] = await Promise.all([joining(port, 0, 4, wait), joining(port, 2, 4)])
    const error = { expected: 'all 4 ranks within 1.5 s', got: 'nothing of rank 1, 3' }
    expect([zero, two]).toMatchObject([
      { left: [error] },
      { left: [{ ...error, at: `rank 2 of 4, coordinator 127.0.0.1:${port}` }] },
    ])
    expect(await joining(port, 1, 2, { ...wait, join: 300 })).toMatchObject({
      left: [{ at: 'rank 1 of 2', expected: `rank 0 to listen at 127.0.0.1:${port} within 0.3 s` }],
    })
    const elsewhere = { ...at(port, 0, 2), coordinator: { host: '192.0.2.1', port } }
    expect(await join(elsewhere, '1', wait)()).toMatchObject({
      left: [{ at: `--coordinator 192.0.2.1:${port}`, got: expect.stringContaining('EADDRNOTAVAIL') }],
    })
  })
})
