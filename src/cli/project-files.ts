import { asArgument } from '../io/names.ts'

/** The files of a new project, but its experiment. */

export interface Project {
  readonly name: string
  /** The pictures, in a few words. */
  readonly pictures: string
  /** What training takes here, in a few words. */
  readonly time: string
  /** What a picture is asked for by: a class or a prompt, if any. */
  readonly ask: { readonly kind: 'class' | 'prompt'; readonly value: string } | undefined
  /** How npm finds latentgraph. */
  readonly dependency: string
  /** What the command line needs besides. */
  readonly packages: Readonly<Record<string, string>>
}

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`

const readme = ({ name, pictures, time, ask }: Project): string => {
  const option = ask === undefined ? '' : ` --${ask.kind} ${asArgument(ask.value)}`
  return `# ${name}

A latent diffusion model of ${pictures}. What it is stands in \`${name}.json\`: \`npx latentgraph check ${name}.json\` shows its blocks,
shapes and cost, \`npx latentgraph explain guidance\` says what a field is.

\`\`\`sh
npm install                                  # once
npm run train                                # ${time}; Ctrl-C stops cleanly
npm run train -- --resume                    # goes on
npm run serve                                # a page to draw with, also while it still trains
npm run draw                                 # draw.js: pictures from a program
npx latentgraph sample runs/${name}${option} --count 4 --out drawn.png
\`\`\`

\`runs/${name}/report.html\` shows losses and pictures while it trains, and what has come of it. Longer, into a folder of its own:

\`\`\`sh
npx latentgraph train ${name}.json --set /diffusion/training/steps=10000 --out runs/longer
npx latentgraph compare runs/${name} runs/longer
\`\`\`
`
}

const script = ({ name, ask }: Project): string => {
  const asked = ask === undefined ? '' : `${ask.kind}: ${JSON.stringify(ask.value)}, `
  return `/** Draws by the model that \`npm run train\` has trained. */
import { grid, loadRun, orThrow, writePicture } from 'latentgraph'

const run = await orThrow(loadRun('runs/${name}'))
const pictures = await orThrow(run.sample({ ${asked}count: 4, seed: 7 }))
await orThrow(writePicture('drawn.png', orThrow(grid(pictures, { columns: 2, scale: 4 }))))
run.dispose()
`
}

/** By their names. */
export const projectFiles = (project: Project): Readonly<Record<string, string>> => {
  const { name, dependency, packages } = project
  return {
    'README.md': readme(project),
    'draw.js': script(project),
    'package.json': json({
      private: true,
      type: 'module',
      scripts: {
        train: `latentgraph train ${name}.json --out runs/${name}`,
        serve: `latentgraph serve runs/${name}`,
        draw: 'node draw.js',
      },
      dependencies: { latentgraph: dependency, ...packages },
    }),
    'tsconfig.json': json({
      compilerOptions: {
        ...{ target: 'es2023', module: 'nodenext', strict: true, noEmit: true, skipLibCheck: true },
        ...{ allowJs: true, checkJs: true },
      },
    }),
    '.gitignore': 'node_modules\nruns\ndrawn.png\n',
  }
}
