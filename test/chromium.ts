import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** Debian's Chromium, or where CHROMIUM says; nothing where there is none. */

const commands = ['chromium', 'chromium-browser', 'google-chrome']
export const installed = async (): Promise<string | undefined> => {
  const inPath = (process.env.PATH ?? '').split(delimiter).flatMap((folder) => commands.map((c) => join(folder, c)))
  const paths = process.env.CHROMIUM === undefined ? inPath : [process.env.CHROMIUM]
  for (const path of paths)
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path
  return undefined
}

export const howToInstall = 'no chromium in PATH, nor where CHROMIUM says; on Debian: apt-get install chromium'
