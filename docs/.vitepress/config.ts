import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DefaultTheme, defineConfig } from 'vitepress'

/** The pages are docs/ as they are; what they are called is their first heading. */
const docs = join(import.meta.dirname, '..')
const titleOf = (page: string): string => /^# (.+)$/m.exec(readFileSync(join(docs, `${page}.md`), 'utf8'))?.[1] ?? page
const item = (page: string): DefaultTheme.SidebarItem => ({ text: titleOf(page), link: `/${page}` })
const group = (text: string, pages: readonly string[], collapsed = false): DefaultTheme.SidebarItem => ({
  text,
  collapsed,
  items: pages.map(item),
})
/** Pages that a page links to, in its order. */
const linked = (page: string): readonly string[] =>
  [...readFileSync(join(docs, `${page}.md`), 'utf8').matchAll(/^\d+\. \[[^\]]+\]\(([^)]+)\.md\)/gm)].map(
    ([, to = '']) => to,
  )
const inFolder = (folder: string): readonly string[] =>
  readdirSync(join(docs, folder))
    .filter((file) => file.endsWith('.md'))
    .toSorted()
    .map((file) => `${folder}/${file.slice(0, -3)}`)

export default defineConfig({
  title: 'latentgraph',
  description: 'Latent diffusion as typed, checked, differentiable graphs',
  outDir: '../dist/site',
  cacheDir: '../dist/vitepress',
  // Built after these pages.
  ignoreDeadLinks: [/^\/api\//],
  markdown: {
    math: true,
    config: (md) => {
      // Sources and README lie beside docs/, not among the pages: what links there is text here.
      md.core.ruler.push('outside', ({ tokens, env }) => {
        const depth = String(env.relativePath ?? '').split('/').length
        const outside = (href: string): boolean => href.startsWith('../'.repeat(depth))
        for (const { children } of tokens) {
          let open = false
          for (const token of children ?? []) {
            const leaves = token.type === 'link_open' && outside(String(token.attrGet('href') ?? ''))
            const ends = token.type === 'link_close' && open
            if (leaves || ends) {
              open = leaves
              token.type = 'text'
              token.tag = ''
              token.nesting = 0
              token.content = ''
            }
          }
        }
      })
    },
  },
  themeConfig: {
    search: { provider: 'local' },
    nav: [
      { text: 'Guide', link: '/guide' },
      { text: 'Library', link: '/api/index.html', target: '_self' },
    ],
    sidebar: [
      group('Guide', ['guide', ...linked('guide'), 'guide/expressions', 'errata']),
      group('How to', [...inFolder('how-to'), 'gpus', 'executors']),
      group('Look up', [
        'experiment-file',
        'reference/experiment',
        'published-models',
        'training',
        'evaluation',
        'determinism',
        'performance',
      ]),
      group('Change it', ['architecture', 'extending']),
      group('Decisions', inFolder('decisions'), true),
    ],
  },
})
