import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { type Checked, type Effect, type Errors, effect, fail, failure } from '../error.ts'
import { partsOf } from '../experiment/conditioning.ts'
import { size } from '../graph/types.ts'
import { type Content, type FolderContent, writeFolderAtomic } from '../io/atomic.ts'
import { readBytes } from '../io/bytes.ts'
import type { Json } from '../io/checkpoint.ts'
import { asArgument } from '../io/names.ts'
import { safetensorsContent, type UnwrittenArrays } from '../io/safetensors-writer.ts'
import { version } from '../package.ts'
import { E, TE } from '../prelude.ts'
import { openRun, type TrainedRun, type WeightOptions } from '../run/trained-run.ts'
import type { Engine, EngineName, Part, Site } from '../serve/static-files.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

/** A run as a page that draws in the browser: the page, its engine and the weights, as files of one folder. */

export interface WebOptions extends WeightOptions {
  readonly half: boolean
  /** The folder of the built page. */
  readonly page: string
}

/** Numbers of a model that a browser holds several times over: as a file, as arrays, in graphs, in its engine. */
const mostNumbers = 2 ** 27

const conditions: readonly string[] = ['none', 'class', 'text']
const drawsAlone = 'latentgraph sample and latentgraph serve draw by it'

/** Errors (`usage`): a run that draws by more than a page has. */
const fitting = (dir: string, { experiment: { diffusion, own } }: TrainedRun): Checked<unknown> => {
  const refuse = (expected: string, got: string) => fail('usage', '--web', expected, `${dir}: ${got}`, drawsAlone)
  const told = diffusion === undefined ? [] : partsOf(diffusion.conditioning).map(({ kind }) => kind)
  const other = told.find((kind) => !conditions.includes(kind))
  if (own !== undefined) return refuse('an experiment without functions of a program', Object.values(own).join(', '))
  if (diffusion?.adapter !== undefined) return refuse('a model of its own', 'an adapter of another')
  return other === undefined
    ? E.right(dir)
    : refuse('a model that is told nothing, a class or a text of its own words', other)
}

/** Files of ONNX Runtime for the web. */
const engineFiles: Readonly<Record<EngineName, readonly [script: string, module: string, binary: string]>> = {
  webgpu: ['ort.webgpu.min.mjs', 'ort-wasm-simd-threaded.asyncify.mjs', 'ort-wasm-simd-threaded.asyncify.wasm'],
  wasm: ['ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'],
}
const engineFolder: Checked<string> = E.tryCatch(
  () => dirname(createRequire(import.meta.url).resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm')),
  (): Errors => [
    failure(
      'usage',
      'onnxruntime-web',
      'the engine that draws in browsers',
      'none',
      'npm install onnxruntime-web@1.30',
    ),
  ],
)
/** Servers know `.js`, and not always `.mjs`. */
const served = (name: string): string => name.replace(/\.mjs$/, '.js')

/** The folder of a page, or one that is not there or empty. Errors (`usage`): another, which would be lost. */
const vacant = (out: string): Effect<void> =>
  effect(async (run) => {
    const names = await readdir(out).catch((): readonly string[] => [])
    if (names.length > 0 && !names.includes(siteName))
      await run(
        TE.left([
          failure(
            'usage',
            '--web',
            'a new folder, or that of an earlier page',
            `${out} with ${names.slice(0, 4).join(', ')}`,
          ),
        ]),
      )
  })
const siteName = 'site.json'

/** What hosts that read it send with each file: a page that is isolated draws on several threads. */
const isolating = `/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
`

/** Of a page that has no server, which would say it with every answer: files of its own alone. */
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
const withServer = '<meta name="latentgraph" content="with a server" />'
/** The page as one that draws by itself. Errors (`file`): another page. */
const alone = (path: string, bytes: Uint8Array): Checked<Uint8Array> => {
  const html = new TextDecoder().decode(bytes)
  const said = `<meta http-equiv="Content-Security-Policy" content="${policy}" /><meta name="latentgraph" content="alone" />`
  return html.includes(withServer)
    ? E.right(new TextEncoder().encode(html.replace(withServer, said)))
    : fail('file', path, 'the page of this version', 'another', 'npm run build makes it')
}

/** No folder of this machine is told. */
const unplaced = (value: Json): Json =>
  typeof value === 'string'
    ? isAbsolute(value)
      ? basename(value)
      : value
    : Array.isArray(value)
      ? value.map(unplaced)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, unplaced(inner)]))
        : value

const numbersOf = (arrays: UnwrittenArrays): number =>
  Object.values(arrays).reduce((sum, { shape }) => sum + size(shape), 0)

interface Weights {
  readonly firstStage?: UnwrittenArrays
  readonly diffusion: UnwrittenArrays
}
const weightsOf = ({ plan, firstStage, diffusion }: TrainedRun, half: boolean): Effect<Weights> =>
  effect(async (run) => {
    const { drawnArrays } = await import('../train/weights.ts')
    const dtype = half ? 'float16' : 'float32'
    if (plan.diffusion === undefined)
      return run(TE.left([failure('usage', '--web', 'a run that draws', 'a first stage alone')]))
    const all: Weights = {
      diffusion: drawnArrays(plan.diffusion, diffusion, dtype),
      ...(plan.firstStage === undefined ? {} : { firstStage: drawnArrays(plan.firstStage, firstStage, dtype) }),
    }
    const numbers = numbersOf(all.diffusion) + numbersOf(all.firstStage ?? {})
    return numbers <= mostNumbers
      ? all
      : run(TE.left([failure('usage', '--web', `at most ${mostNumbers} numbers`, `${numbers}`, drawsAlone)]))
  })

/** Errors: `usage`, what a page cannot have; `file`, `config`, `training`. */
export const exportWeb = (
  dir: string,
  out: string,
  { half, page, ...options }: WebOptions,
  terminal: Terminal,
): Effect<Outcome> =>
  effect(async (run) => {
    const { isPublishedRun } = await import('../pipelines/run-files.ts')
    if (await isPublishedRun(dir))
      return run(
        TE.left([failure('usage', '--web', 'a run that was trained here', `${dir}, a published model`, drawsAlone)]),
      )
    await run(vacant(out))
    if (!existsSync(join(page, 'index.html')))
      return run(TE.left([failure('file', page, 'the page, built', 'nothing there', 'npm run build makes it')]))
    const engines = await run(TE.fromEither(engineFolder))
    const trained = await run(openRun(dir, options))
    await run(TE.fromEither(fitting(dir, trained)))
    const weights = await run(weightsOf(trained, half))
    const { openedOf } = await import('../run/own.ts')
    const { fromFiles } = await import('../run/from-files.ts')
    const { aboutOf } = await import('../serve/about.ts')
    const { promptsFor } = await import('./shown-models.ts')
    const name = basename(resolve(dir))
    const about = aboutOf(openedOf(fromFiles, trained).describe, await promptsFor(dir))

    const files: Record<string, FolderContent> = {}
    const copied = async (folder: string, file: string, as = served(file)): Promise<void> => {
      files[as] = await run(readBytes(join(folder, file)))
    }
    for (const file of await readdir(page)) await copied(page, file, file)
    for (const names of Object.values(engineFiles)) for (const file of names) await copied(engines, file)
    const index = join(page, 'index.html')
    files['index.html'] = await run(TE.fromEither(alone(index, await run(readBytes(index)))))
    const content = (arrays: UnwrittenArrays): Effect<Content> => TE.fromEither(safetensorsContent(arrays))
    const [firstStage, diffusion] = ['first-stage.safetensors', 'diffusion.safetensors'] as const
    if (weights.firstStage !== undefined) files[firstStage] = await run(content(weights.firstStage))
    files[diffusion] = await run(content(weights.diffusion))
    files._headers = new TextEncoder().encode(isolating)
    files[siteName] = (before) => {
      const partOf = (file: string): Part => ({ file, ...(before[file] ?? { bytes: 0, sha256: '' }) })
      const engineOf = ([script, module, binary]: (typeof engineFiles)[EngineName]): Engine => ({
        script: served(script),
        module: served(module),
        binary: partOf(binary),
      })
      const site: Site = {
        version: version(),
        model: { id: 'model', run: name, name: about.name, about, trained: false },
        experiment: unplaced(JSON.parse(JSON.stringify(trained.experiment))),
        classes: trained.classes,
        scale: trained.scale,
        ...(trained.words === undefined ? {} : { words: trained.words }),
        ...(weights.firstStage === undefined ? {} : { firstStage: partOf(firstStage) }),
        diffusion: partOf(diffusion),
        engines: { webgpu: engineOf(engineFiles.webgpu), wasm: engineOf(engineFiles.wasm) },
      }
      return new TextEncoder().encode(JSON.stringify(site))
    }
    await run(writeFolderAtomic(out, files))
    terminal.out(`${out}\n`)
    terminal.err(
      `Any server of files can have it, below any path; to try it: python3 -m http.server -d ${asArgument(out)}. It draws on several threads where the server sends the headers of ${asArgument(join(out, '_headers'))}.\n`,
    )
    return exitCodes.done
  })
