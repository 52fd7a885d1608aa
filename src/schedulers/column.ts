/** One number a timestep, at index t = 0, ..., T - 1 (the papers' t - 1). */
export type Column = readonly number[]
