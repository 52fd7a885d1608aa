import { type Checked, type Errors, fail, failure, reasonOf } from '../error.ts'
import { E, pipe, t } from '../prelude.ts'

/** alpha of adapters as peft says it beside the arrays: `lora_adapter_metadata` in the header, or `adapter_config.json`. */

const Config = t.partial({
  lora_alpha: t.number,
  use_rslora: t.boolean,
  use_dora: t.boolean,
  lora_bias: t.boolean,
  alpha_pattern: t.record(t.string, t.number),
})
type Config = t.TypeOf<typeof Config>

/** What a module's product is multiplied by; undefined where nothing is said of it. */
export type Factors = (module: string, rank: number) => number | undefined
export const unsaid: Factors = () => undefined

export const metadataKey = 'lora_adapter_metadata'
const plain = /^[\w.]+$/

const names = (pattern: string, module: string): boolean => module === pattern || module.endsWith(`.${pattern}`)

/** Of one component's configuration. Errors: `file`, what would make another network of it. */
const factorsOf = (config: Config, at: string): Checked<Factors> => {
  const { lora_alpha: alpha, use_rslora: root = false, alpha_pattern: patterns = {} } = config
  if (config.use_dora === true) return fail('file', `${at}: use_dora`, 'false: LoRA', 'true: DoRA')
  if (config.lora_bias === true) return fail('file', `${at}: lora_bias`, 'false', 'true')
  const odd = Object.keys(patterns).find((pattern) => !plain.test(pattern))
  if (odd !== undefined) return fail('file', `${at}: alpha_pattern`, 'names of modules', JSON.stringify(odd))
  const byLength = Object.entries(patterns).toSorted(([a], [b]) => b.length - a.length)
  return E.right((module, rank) => {
    const own = byLength.find(([pattern]) => names(pattern, module))?.[1] ?? alpha
    return own === undefined ? undefined : own / (root ? Math.sqrt(rank) : rank)
  })
}

const decoded = (value: unknown, at: string): Checked<Factors> =>
  Config.is(value)
    ? factorsOf(value, at)
    : fail('file', at, 'lora_alpha and use_rslora of peft', 'fields of other types')

/** Of a component out of a header's texts: its fields stand behind its name. Errors: `file`. */
export const factorsIn = (
  metadata: Readonly<Record<string, string>>,
  component: string,
  path: string,
): Checked<Factors> => {
  const text = metadata[metadataKey]
  const at = `${path}: ${metadataKey}`
  if (text === undefined) return E.right(unsaid)
  return pipe(
    E.tryCatch(
      (): unknown => JSON.parse(text),
      (reason): Errors => [failure('file', at, 'JSON', reasonOf(reason))],
    ),
    E.flatMap((value) => (t.UnknownRecord.is(value) ? E.right(value) : fail('file', at, 'an object', 'another value'))),
    E.flatMap((value) =>
      decoded(
        Object.fromEntries(
          Object.entries(value).flatMap(([key, field]) =>
            key.startsWith(`${component}.`) && field !== null ? [[key.slice(component.length + 1), field]] : [],
          ),
        ),
        `${at}: ${component}`,
      ),
    ),
  )
}

/** Of an `adapter_config.json`. Errors: `file`. */
export const factorsOfConfig = (value: unknown, at: string): Checked<Factors> => decoded(value, at)
