import { defineConfig } from 'vite'

/** Of the page that has no server, which would say it with every answer: files of its own alone. */
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self' data: blob:",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

/** `--mode site`: the page that draws by itself, in flat files, as `latentgraph export --web` puts them into a folder. */
export default defineConfig(({ mode }) => ({
  root: import.meta.dirname,
  // Wherever the page is put.
  base: './',
  plugins:
    mode === 'site'
      ? [
          {
            name: 'policy',
            transformIndexHtml: () => [
              {
                tag: 'meta',
                attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
                injectTo: 'head-prepend' as const,
              },
            ],
          },
        ]
      : [],
  worker: { format: 'es' as const },
  // The page's policy allows files of its own alone: nothing in line.
  build: {
    outDir: mode === 'site' ? '../dist/site' : '../dist/page',
    ...(mode === 'site' ? { assetsDir: '' } : {}),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false as const,
  },
}))
