import { render } from 'preact'
import { App } from './app.tsx'

const root = document.getElementById('page')
if (root === null) throw new Error('the page has no place')
/** The same page with a server, and without one. */
const { content } = document.querySelector<HTMLMetaElement>('meta[name=latentgraph]') ?? { content: '' }
const backend =
  content === 'alone' ? (await import('./in-browser.ts')).inBrowser() : (await import('./backend.ts')).server
root.replaceChildren()
render(<App backend={backend} />, root)
