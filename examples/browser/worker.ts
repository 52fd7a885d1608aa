import { E, showErrors } from '../../src/browser.ts'
import { engines } from './engines.ts'
import type { News, Order } from './messages.ts'
import { train } from './training.ts'

const tell = (news: News): void => postMessage(news)

/** The training runs beside the page, which stays responsive. */
addEventListener('message', async ({ data }: MessageEvent<Order>) => {
  try {
    const result = await train(engines[data.executor](), data, {
      onReady: (milliseconds) => tell({ kind: 'ready', milliseconds }),
      onStep: (step) => tell({ kind: 'step', ...step }),
      onSamples: (done, pictures) => tell({ kind: 'samples', done, pictures }),
    })()
    tell(E.isLeft(result) ? { kind: 'failed', reason: showErrors(result.left) } : { kind: 'done' })
  } catch (e) {
    tell({ kind: 'failed', reason: e instanceof Error ? e.message : String(e) })
  }
})
