import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { type Effect, type Errors, failure, reasonOf } from '../../error.ts'
import { inTemporaryFolder } from '../../io/atomic.ts'
import { optional } from '../../optional.ts'
import { pipe, TE } from '../../prelude.ts'

const escapeXml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/** Machines without fonts draw no text at all, so the font comes along with the program. */
const fontsConfig = (fonts: string, cache: string): string =>
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${escapeXml(fonts)}</dir>
  <cachedir>${escapeXml(cache)}</cachedir>
  <config><rescan><int>0</int></rescan></config>
</fontconfig>
`

const render = async (svg: string, scale: number): Promise<Uint8Array> => {
  const { default: sharp } = await import('sharp')
  return sharp(Buffer.from(svg), { density: 72 * scale })
    .flatten({ background: '#ffffff' })
    .png({ palette: true })
    .toBuffer()
}

/** The folder of the package with DejaVu Sans. Errors: `run`, where it is not installed. */
export const fonts = optional('curves', async () =>
  join(dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json')), 'ttf'),
)

/** Renders with DejaVu Sans from npm. Fontconfig reads its environment once, when the process first draws text. */
const withFonts = async (ttf: string, beside: string, run: () => Promise<Uint8Array>): Promise<Uint8Array> =>
  process.env.FONTCONFIG_FILE !== undefined
    ? run()
    : inTemporaryFolder(resolve(beside), async (folder) => {
        const file = resolve(folder, 'fonts.conf')
        await writeFile(file, fontsConfig(ttf, resolve(folder, 'cache')))
        process.env.FONTCONFIG_FILE = file
        try {
          return await run()
        } finally {
          delete process.env.FONTCONFIG_FILE
        }
      })

/**
 * An SVG as the bytes of a PNG, `scale` pixels a unit, on white, text in DejaVu Sans. What the fonts need lies for a moment beside the
 * path that the picture is meant for, which can be written to; the machine's temporary folder may be full. Errors: `run`.
 */
export const rasterise = (svg: string, path: string, scale = 2): Effect<Uint8Array> =>
  pipe(
    fonts,
    TE.flatMap((ttf) =>
      TE.tryCatch(
        () => withFonts(ttf, path, () => render(svg, scale)),
        (reason): Errors => [failure('run', 'chart', 'a drawing that can be made a PNG', reasonOf(reason))],
      ),
    ),
  )
