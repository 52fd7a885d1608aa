import { render } from 'preact'
import { App } from './app.tsx'
import { server } from './backend.ts'

const root = document.getElementById('page')
if (root === null) throw new Error('the page has no place')
render(<App backend={server} />, root)
