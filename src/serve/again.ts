import { asArgument } from '../io/names.ts'
import type { Drawn } from './api.ts'

/** What gives the pictures of a drawing again: a command line, and a program. */

type Again = Drawn['settings']

/** Where pictures that a drawing began with are looked for: beside. */
export const beside = { from: 'from.png', mask: 'mask.png' } as const

/** The options of `sample` as typed, in its own order, each with its value. */
export const argsOf = (s: Again, masked: boolean): [string, string][] => {
  const picture = s.from?.kind === 'picture' ? s.from : undefined
  const args: readonly (readonly [string, string | number | undefined])[] = [
    ['--class', s.class],
    ['--prompt', s.prompt],
    ['--guidance', s.guidance],
    ['--steps', s.steps],
    ['--sampler', s.sampler],
    ['--spacing', s.spacing],
    ['--seed', s.seed],
    ['--count', s.count],
    ['--negative', s.negative],
    ['--from', picture && beside.from],
    ['--strength', picture?.strength],
    ['--mask', picture && masked ? beside.mask : undefined],
    ['--interpolate', s.from?.kind === 'between' ? s.from.towards : undefined],
  ]
  return args.flatMap(([flag, value]) => (value === undefined ? [] : [[flag, String(value)]]))
}

export const commandOf = (run: string, s: Again, masked: boolean): string =>
  [
    ...['npx', 'latentgraph', 'sample', asArgument(run)],
    ...argsOf(s, masked).map(([flag, value]) => `${flag} ${asArgument(value)}`),
    ...['--out', 'drawn/'],
  ].join(' ')

/** The shares of the way of pictures in a row, from one noise to another. */
export const sharesOf = (count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => (count === 1 ? 0.5 : i / (count - 1)))

export const programOf = (run: string, { from, ...s }: Again, masked: boolean): string => {
  const literal = (value: unknown): string => JSON.stringify(value)
  const begins =
    from === undefined
      ? []
      : from.kind === 'between'
        ? [`from: { towards: ${from.towards}, shares: ${literal(sharesOf(s.count))} }`]
        : [
            `from: { picture: await orThrow(readPicture(${literal(beside.from)})), strength: ${from.strength}${
              masked ? `, mask: await orThrow(readPicture(${literal(beside.mask)}))` : ''
            } }`,
          ]
  const fields = [
    ...Object.entries(s).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${literal(value)}`])),
    ...begins,
  ]
  const names = ['loadRun', 'orThrow', ...(from?.kind === 'picture' ? ['readPicture'] : []), 'writePicture']
  return [
    `import { ${names.join(', ')} } from 'latentgraph'`,
    '',
    `const run = await orThrow(loadRun(${literal(run)}))`,
    `const pictures = await orThrow(run.sample({`,
    ...fields.map((field) => `  ${field},`),
    '}))',
    'let n = 0',
    "for (const picture of pictures) await orThrow(writePicture('drawn/' + ++n + '.png', picture))",
    'run.dispose()',
    '',
  ].join('\n')
}
