/** Families of models that are known and not built, by words in the names of their classes. */
const families = [
  [/flux/i, 'Flux'],
  [/sd3|stablediffusion3|mmdit/i, 'Stable Diffusion 3'],
  [/pixart/i, 'PixArt'],
  [/hunyuan/i, 'HunyuanDiT'],
  [/sana/i, 'Sana'],
  [/auraflow/i, 'AuraFlow'],
  [/lumina/i, 'Lumina'],
  [/kandinsky/i, 'Kandinsky'],
  [/wuerstchen|cascade/i, 'Stable Cascade'],
  [/video|svd|animatediff|motion/i, 'a video model'],
  [/unclip|imageembeddingconditioned/i, 'unCLIP'],
  [/\bdit|dittransformer|diffusiontransformer/i, 'DiT'],
  [/retriev|rdm/i, 'retrieval-augmented diffusion'],
] as const

/** The family that a class belongs to by its name: `FluxTransformer2DModel`, `StableDiffusion3Pipeline`; undefined for all others. */
export const otherFamily = (name: string): string | undefined => families.find(([words]) => words.test(name))?.[1]
