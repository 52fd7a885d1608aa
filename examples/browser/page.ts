import { describeChoice, type EngineName, engineNames, isEngineName, look } from './choices.ts'
import { curveIn } from './curve.ts'
import { drawGrid } from './grid.ts'
import type { News, Order } from './messages.ts'
import { classes, pictureOf } from './shapes.ts'
import { noiseOf, type Request } from './training.ts'

const element = <E extends Element>(id: string, kind: new () => E): E => {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} named ${id}`)
  return found
}
const form = element('controls', HTMLFormElement)
const button = element('train', HTMLButtonElement)
const select = element('steps', HTMLSelectElement)
const status = element('status', HTMLParagraphElement)
const progress = element('progress', HTMLProgressElement)
const save = element('save', HTMLAnchorElement)
const samples = element('samples', HTMLCanvasElement)
const [lossNow, drawnWhen] = [element('loss', HTMLSpanElement), element('drawn', HTMLSpanElement)]
const curve = curveIn(element('curve', HTMLDivElement))

/** `?executor=tfjs:wasm&steps=50&seed=1&start`: what a visit begins with. */
const wish = new URLSearchParams(location.search)
const wholeNumber = (name: string, otherwise: number): number => {
  const n = Number(wish.get(name) ?? otherwise)
  return Number.isInteger(n) && n > 0 ? n : otherwise
}
const request: Request = {
  steps: wholeNumber('steps', 300),
  seed: wholeNumber('seed', 1),
  batchSize: wholeNumber('batch', 16),
  levels: wholeNumber('levels', 2),
  sampleEvery: wholeNumber('every', 50),
  samplesPerClass: wholeNumber('columns', 4),
  samplingSteps: wholeNumber('sampling', 12),
}
const { samplesPerClass } = request

const say = (text: string, fault = false): void => {
  status.textContent = text
  status.classList.toggle('fault', fault)
}
const median = (xs: readonly number[]): number => xs.toSorted((a, b) => a - b)[xs.length >> 1] ?? Number.NaN
const duration = (ms: number): string => (ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`)

/** What a visitor can take home. */
interface Numbers extends Order {
  readonly losses: number[]
  /** Of each step. The first also builds what the executor builds late. */
  readonly milliseconds: number[]
  /** The last samples, [3, side, side] each. */
  pictures: readonly (readonly number[])[]
}

const offer = (numbers: Numbers): void => {
  URL.revokeObjectURL(save.href)
  save.href = URL.createObjectURL(new Blob([JSON.stringify(numbers)], { type: 'application/json' }))
  save.hidden = false
}

const told = (order: Order, numbers: Numbers, news: News): void => {
  if (news.kind === 'ready') say(`Compiled in ${duration(news.milliseconds)}; the first step`)
  if (news.kind === 'step') {
    numbers.losses.push(news.loss)
    numbers.milliseconds.push(news.milliseconds)
    curve.add(news.done, news.loss)
    progress.value = news.done / order.steps
    lossNow.textContent = news.loss.toFixed(4)
    say(`Step ${news.done} of ${order.steps}, ${duration(median(numbers.milliseconds))} a step`)
  }
  if (news.kind === 'samples') {
    drawGrid(samples, news.pictures, samplesPerClass)
    drawnWhen.textContent = `after ${news.done} steps`
    numbers.pictures = news.pictures.map((p) => [...p])
  }
  if (news.kind === 'done') {
    say(`${order.steps} steps on ${order.executor}, ${duration(median(numbers.milliseconds))} a step`)
    offer(numbers)
  }
  if (news.kind === 'failed') say(news.reason, true)
}

let worker: Worker | undefined
const end = (): void => {
  worker?.terminate()
  worker = undefined
  button.textContent = 'Train'
  form.classList.remove('training')
}

const begin = (executor: EngineName, steps: number): void => {
  const order: Order = { ...request, executor, steps }
  const numbers: Numbers = { ...order, losses: [], milliseconds: [], pictures: [] }
  curve.begin(steps)
  progress.value = 0
  save.hidden = true
  lossNow.textContent = ''
  showNoise()
  button.textContent = 'Stop'
  form.classList.add('training')
  say('Compiling')
  worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' })
  worker.addEventListener('message', ({ data }: MessageEvent<News>) => {
    told(order, numbers, data)
    if (data.kind === 'done' || data.kind === 'failed') end()
  })
  worker.addEventListener('error', ({ message }) => {
    say(message, true)
    end()
  })
  worker.postMessage(order)
}

const shown = Array.from({ length: classes.length * samplesPerClass }, (_, i) => {
  const [row, column] = [Math.floor(i / samplesPerClass), i % samplesPerClass]
  return pictureOf(request.seed, column * classes.length + row).data
})
const showNoise = (): void => {
  drawGrid(samples, noiseOf(request), samplesPerClass)
  drawnWhen.textContent = 'so far: noise'
}

const card = (name: EngineName, checked: boolean): { readonly label: HTMLElement; readonly look: Promise<boolean> } => {
  const { library, device } = describeChoice(name)
  const label = document.createElement('label')
  label.className = 'executor'
  const input = Object.assign(document.createElement('input'), {
    type: 'radio',
    name: 'executor',
    value: name,
    checked,
    disabled: true,
  })
  const title = Object.assign(document.createElement('strong'), { textContent: library })
  const note = Object.assign(document.createElement('small'), { textContent: device })
  label.append(input, title, note)
  return {
    label,
    look: look(name).then(({ usable, what }) => {
      input.disabled = !usable
      note.textContent = `${device}: ${what}`
      return usable
    }),
  }
}

const chosen = (): EngineName | undefined => {
  const name = new FormData(form).get('executor')
  return typeof name === 'string' && isEngineName(name) ? name : undefined
}
form.addEventListener('submit', (event) => {
  event.preventDefault()
  const name = chosen()
  if (worker !== undefined) {
    end()
    say('Stopped')
  } else if (name !== undefined) begin(name, Number(select.value))
})

const stepCounts = [...new Set([50, 300, 1000, request.steps])].sort((a, b) => a - b)
for (const n of stepCounts) select.add(new Option(String(n), String(n), false, n === request.steps))
curve.begin(request.steps)
showNoise()
drawGrid(element('shown', HTMLCanvasElement), shown, samplesPerClass)

const wished = wish.get('executor')
const favourite = isEngineName(wished) ? wished : 'onnx:wasm'
const cards = engineNames.map((name) => card(name, name === favourite))
element('executors', HTMLFieldSetElement).append(...cards.map(({ label }) => label))
await Promise.all(cards.map((c) => c.look))
button.disabled = chosen() === undefined
if (wish.has('start')) form.requestSubmit()
