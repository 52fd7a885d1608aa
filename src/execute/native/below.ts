import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Files of wanted names in a folder and so many folders deep, the nearest first, then by name. What cannot be looked into is passed over. */
export const filesBelow = async (
  folder: string,
  isWanted: (name: string) => boolean,
  depth: number,
): Promise<readonly string[]> => {
  const files: string[] = []
  let folders = [folder]
  for (let deep = 0; deep <= depth; deep++) {
    const deeper: string[] = []
    for (const within of folders) {
      for (const name of [...(await readdir(within).catch((): string[] => []))].sort()) {
        const path = join(within, name)
        const is = await stat(path).catch(() => undefined)
        if (is?.isFile() === true && isWanted(name)) files.push(path)
        if (is?.isDirectory() === true) deeper.push(path)
      }
    }
    folders = deeper
  }
  return files
}
