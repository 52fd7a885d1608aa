import { isIP } from 'node:net'
import { failure, type LatentError } from '../error.ts'

/** Who may ask: pages of this server alone, under a name that is its own. */

const loopback = ['localhost', '127.0.0.1', '[::1]'] as const

export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\./.test(host)

/** A host as it stands in a URL. */
export const inUrl = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host)

export interface Asking {
  readonly host?: string | undefined
  readonly origin?: string | undefined
  readonly 'sec-fetch-site'?: string | string[] | undefined
}

const named = (authority: string): { readonly name: string; readonly port: number } | undefined => {
  const parts = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?$/.exec(authority.toLowerCase())
  return parts?.[1] === undefined ? undefined : { name: parts[1], port: Number(parts[2] ?? 80) }
}

/** Whether a name is the server's own: one of this machine, what it was told to listen on, or, where that is more, an address by number, which no foreign name can be made to resolve to. */
const own = (name: string, listens: string): boolean =>
  loopback.some((one) => one === name) ||
  name === inUrl(listens).toLowerCase() ||
  (!isLoopback(listens) && isIP(name.replace(/^\[|\]$/g, '')) !== 0)

/** Why a request is refused, if it is; `listens` is the host that the server was told. */
export const refusal = (asking: Asking, { listens, port }: { readonly listens: string; readonly port: number }) => {
  const refuse = (at: string, expected: string, got: string | undefined): LatentError =>
    failure('usage', at, expected, got === undefined ? 'nothing' : JSON.stringify(got.slice(0, 100)))
  const host = asking.host === undefined ? undefined : named(asking.host)
  if (host === undefined || host.port !== port || !own(host.name, listens))
    return refuse('Host', 'a name of this server', asking.host)
  const origin = asking.origin
  if (origin !== undefined && origin.toLowerCase() !== `http://${asking.host}`.toLowerCase())
    return refuse('Origin', 'a page of this server', origin)
  const site = asking['sec-fetch-site']
  return site === undefined || site === 'same-origin' || site === 'none'
    ? undefined
    : refuse('Sec-Fetch-Site', 'a page of this server', String(site))
}

/** Said with every answer. */
export const headers = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'cache-control': 'no-store',
} as const
