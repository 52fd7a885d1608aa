import { execFile } from 'node:child_process'
import { readFile, readlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { promisify } from 'node:util'

/** What tells processes apart, also after their number was given to another, or their machine began anew. */
export interface ProcessIdentity {
  readonly pid: number
  readonly host: string
  /** This start of the machine, where it says so; '' elsewhere. */
  readonly boot: string
  /** What numbers processes: containers of one machine may each have their own; '' where it does not say. */
  readonly space: string
  /** When the process began, as the machine counts; '' where it does not say. */
  readonly began: string
}

const orElse =
  <A>(other: A) =>
  (work: Promise<A>): Promise<A> =>
    work.catch(() => other)

/** The fields of Linux' `/proc/PID/stat` behind the name, which may hold anything: the state first. */
const fieldsOf = (stat: string): readonly string[] => stat.slice(stat.lastIndexOf(')') + 2).split(' ')
const ended: readonly (string | undefined)[] = ['Z', 'X']
/** `starttime`, field 22 of `proc_pid_stat(5)`. */
const startField = 22 - 3

/** Whether this machine has a process of this number. */
export const answers = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (reason) {
    return reason instanceof Error && 'code' in reason && reason.code === 'EPERM'
  }
}

const beganByPs = async (pid: number): Promise<string> =>
  process.platform === 'win32'
    ? ''
    : (await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { env: { LC_ALL: 'C' } })).stdout.trim()

/** When a process of this machine began; undefined where there is none of this number, or it has ended. */
const began = async (pid: number): Promise<string | undefined> => {
  if (!answers(pid)) return undefined
  const stat = await orElse('')(readFile(`/proc/${pid}/stat`, 'utf8'))
  if (stat === '') return orElse('')(beganByPs(pid))
  const fields = fieldsOf(stat)
  return ended.includes(fields[0]) ? undefined : fields[startField]
}

/** This process. */
export const thisProcess = async (): Promise<ProcessIdentity> => ({
  pid: process.pid,
  host: hostname(),
  boot: (await orElse('')(readFile('/proc/sys/kernel/random/boot_id', 'utf8'))).trim(),
  space: await orElse('')(readlink('/proc/self/ns/pid')),
  began: (await began(process.pid)) ?? '',
})

/** Whether a process still runs; `unknown` where it cannot be seen from `here`. */
export const fateOf = async (p: ProcessIdentity, here: ProcessIdentity): Promise<'runs' | 'ended' | 'unknown'> => {
  if (p.host !== here.host) return 'unknown'
  if (p.boot !== here.boot) return 'ended'
  if (p.space !== here.space) return 'unknown'
  const now = await began(p.pid)
  return now === undefined || now !== p.began ? 'ended' : 'runs'
}
