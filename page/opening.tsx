import type { Opening } from './backend.ts'
import { Faults } from './faults.tsx'

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

/** How the model comes, until it is there. */
export const OpeningView = ({ done, of, errors }: Opening) => (
  <>
    <Faults errors={errors} />
    {done < of && (
      <div class="opening">
        <label for="opening">The model comes once, and is kept by the browser</label>
        <progress id="opening" value={done} max={of} />
        <span class="hint">
          {megabytes(done)} of {megabytes(of)} MB
        </span>
      </div>
    )}
  </>
)
