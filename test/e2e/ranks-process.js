// @ts-check
// One of two processes of test/e2e/ranks.test.ts, on the compiled program: node ranks-process.js COMPILED PORT RANK WORK [FOLDER]
import koffi from 'koffi'

const [, , compiled, port, rank, work, folder = ''] = process.argv
/** @param {string} path */
const ours = (path) => import(`${compiled}/src/${path}.js`)
const { join } = await ours('execute/ranks/group')
const placement = { coordinator: { host: '127.0.0.1', port: Number(port) }, rank: Number(rank), ranks: 2 }
const joined = await join(placement, '1', { join: 60_000, hello: 60_000, beat: 1000, silence: 60_000, leave: 5000 })()
if (joined._tag === 'Left') throw new Error(JSON.stringify(joined.left))
const group = joined.right

/** Calls the C functions that a plugin is given, as its threads do. */
const pointers = async () => {
  const { keyValuesOf } = await ours('execute/xla/key-values')
  const { laidOut, readBack, structures } = await ours('execute/xla/pjrt')
  const functions = await keyValuesOf(group)
  const signature = koffi.proto('void*', ['void*'])
  /** @type {{ code: number, message: string }[]} */
  const failures = []
  const made = koffi.register(
    (/** @type {number} */ code, /** @type {bigint} */ message, /** @type {number} */ length) => {
      failures.push({ code, message: new TextDecoder().decode(koffi.view(message, Number(length))) })
      return BigInt(failures.length)
    },
    koffi.pointer(koffi.proto('void*', ['int', 'void*', 'size_t'])),
  )
  const fail = BigUint64Array.of(BigInt(made)).buffer
  /** @param {string} text */
  const memoryOf = (text) => {
    const bytes = new TextEncoder().encode(text)
    const memory = new ArrayBuffer(Math.max(bytes.length, 8))
    new Uint8Array(memory).set(bytes)
    return { memory, length: bytes.length }
  }
  /** @param {'get' | 'tryGet' | 'put'} name @param {string} key @param {{ within?: number, value?: string }} [more] */
  const call = async (name, key, { within, value } = {}) => {
    const layout = { get: structures.KeyValueGet, tryGet: structures.KeyValueTryGet, put: structures.KeyValuePut }[name]
    const [k, v] = [memoryOf(key), memoryOf(value ?? '')]
    const given = laidOut(layout, {
      ...{ key: koffi.address(k.memory), keyLength: k.length, fail: koffi.address(fail) },
      ...(within === undefined ? {} : { within }),
      ...(value === undefined ? {} : { value: koffi.address(v.memory), valueLength: v.length }),
    })
    const error = await new Promise((resolve, reject) =>
      koffi
        .decode(functions[name], signature)
        .async(given.buffer, (/** @type {unknown} */ e, /** @type {unknown} */ r) => (e ? reject(e) : resolve(r))),
    )
    if (error !== null && error !== 0n) return failures[Number(error) - 1]
    if (name === 'put') return 'put'
    const { value: at, valueLength, deleter } = readBack(layout, given)
    const text = new TextDecoder().decode(koffi.view(at, Number(valueLength)))
    koffi.decode(deleter, signature)(at)
    return text
  }
  const value = `of rank ${rank} ${'é'.repeat(50_000)}`
  const other = 1 - Number(rank)
  // The value comes only when the other has read what is put behind this question.
  const waits = call('get', `second of ${other}`, { within: 60_000 })
  const put = await call('put', `first of ${rank}`, { value })
  const first = async () => {
    for (;;) {
      const now = await call('tryGet', `first of ${other}`)
      if (typeof now === 'string') return now
    }
  }
  const read = await first()
  await call('put', `second of ${rank}`, { value: read.slice(0, 9) })
  const found = [put, read.length, await waits]
  const missing = [await call('tryGet', 'nothing'), await call('get', 'nothing', { within: 30 })]
  await call('put', 'empty', { value: '' })
  const there = [await call('tryGet', `first of ${rank}`).then((x) => x === value), await call('tryGet', 'empty')]
  await call('put', `end of ${rank}`, { value: '1' })
  await call('get', `end of ${other}`, { within: 60_000 })
  if (rank === '1') process.kill(process.pid, 'SIGKILL')
  console.log(JSON.stringify({ found, missing, there, lost: await call('get', 'nothing', { within: 60_000 }) }))
}

/** Trains with the other, who ends in the middle. */
const training = async () => {
  const { decodeExperiment } = await ours('experiment/decode')
  const { executorByName } = await ours('execute/auto')
  const { inRunFolder } = await ours('run/run-folder')
  const { trainIn } = await ours('run/train')
  const { followIn } = await ours('run/follow')
  const { dots } = JSON.parse(process.env.DOTS ?? '{}')
  const { right: experiment } = decodeExperiment(dots)
  const { right: executor } = await executorByName('onnx:cpu')()
  if (rank === '1') {
    setInterval(
      () =>
        group
          .get('now', 0)()
          .then((/** @type {{ right?: Uint8Array }} */ now) => now.right && process.kill(process.pid, 'SIGKILL')),
      5,
    )
    return followIn({ experiment, executor, group })()
  }
  const ended = await inRunFolder({ file: 'dots', out: folder, resume: false }, (/** @type {unknown} */ owned) =>
    trainIn({
      ...{ experiment, owned, dir: folder, resume: false, executor, stopping: () => false, group },
      tell: (/** @type {{ kind: string, step?: number }} */ event) => async () => {
        if (event.kind === 'step' && event.step === 3) group.put('now', new Uint8Array(1))
        // As long as sums over devices would wait.
        if (event.kind === 'step' && event.step !== undefined && event.step > 3)
          await new Promise((r) => setTimeout(r, 50))
        return { _tag: 'Right' }
      },
    }),
  )()
  console.log(JSON.stringify(ended))
}

await (work === 'pointers' ? pointers() : training())
process.exit(0)
