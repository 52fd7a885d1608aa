/** Stands in `diffusion/`, where its denoisers are; import it from there. */
export * from '../diffusion/objective.ts'
