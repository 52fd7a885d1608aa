import type { LatentError } from '../src/error.ts'

/** What was wrong: where, what was expected, what came. */
export const Faults = ({ errors }: { readonly errors: readonly LatentError[] }) => (
  <div role="alert">
    {errors.length > 0 && (
      <ul class="faults">
        {errors.map(({ at, expected, got, hint }) => (
          <li key={`${at}${expected}`}>
            <strong>{at.replace(/^\//, '')}</strong>: expected {expected}, got {got}
            {hint === undefined ? '' : `; ${hint}`}
          </li>
        ))}
      </ul>
    )}
  </div>
)
