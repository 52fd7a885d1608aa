/** What the keys of adapter files say: which module, and which part of its change. */

export interface Key {
  readonly key: string
  /** The module as the file names it, with what stands before it. */
  readonly module: string
  readonly part: string
}

/** Names of attention processors and of the first training scripts, as diffusers reads them [UNET_TO_DIFFUSERS]. */
const older: readonly (readonly [RegExp, string])[] = [
  [/\.processor\./, '.'],
  [/(\.self_attn)\.to_([qkv])_lora\./, '$1.$2_proj.lora.'],
  [/(\.self_attn)\.to_out_lora\./, '$1.out_proj.lora.'],
  [/\.to_([qkv])_lora\./, '.to_$1.lora.'],
  [/\.to_out_lora\./, '.to_out.0.lora.'],
]
const peftParts: Readonly<Record<string, string>> = { A: 'down', B: 'up' }

/** Behind the module: peft's `lora_A`, with an adapter's name or without; scripts' `lora.down`; kohya's `lora_down`; LyCORIS' parts. */
const parts: readonly RegExp[] = [
  /^(.+)\.lora_([AB])(?:\.\w+)?\.weight$/,
  /^(.+)\.(?:lora|lora_linear_layer)\.(down|up)\.weight$/,
  /^(.+)\.lora_(down|up|mid)\.weight$/,
  /^(.+)\.(alpha)$/,
  /^(.+)\.(hada_w[12]_[ab]|lokr_w[12](?:_[ab])?)$/,
]

export const readKey = (key: string): Key | undefined => {
  const newer = older.reduce((name, [from, to]) => name.replace(from, to), key)
  for (const pattern of parts) {
    const [, module, part] = pattern.exec(newer) ?? []
    if (module !== undefined && part !== undefined) return { key, module, part: peftParts[part] ?? part }
  }
  return undefined
}

/** Kinds of adapters that are no sums of low rank, and what else lies in such files, by the ends of their keys. */
const refused: readonly (readonly [RegExp, string])[] = [
  [/\.(dora_scale|lora_magnitude_vector(\.\w+)*)$/, 'DoRA (the weights are normalised anew)'],
  [/\.(hada_t[12]|lokr_t2)$/, 'LoHa and LoKr in Tucker form'],
  [/\.(on_input|ia3_l(\.\w+)*)$/, '(IA)^3 (what comes out is scaled)'],
  [/\.(oft_blocks|oft_diag|oft_R(\.\w+)*|boft_\w+)$/, 'OFT (the weights are turned)'],
  [/\.(diff|diff_b|w_norm|b_norm|set_weight|reshape_weight)$/, 'whole differences of weights, biases and norms'],
  [/\.lora_B\.(\w+\.)?bias$/, 'LoRA with biases'],
  [/\.([ab][12]\.weight)$/, 'GLoRA'],
  [/^bundle_emb\./, 'embeddings of words beside an adapter'],
]
export const refusedKind = (key: string): string | undefined => refused.find(([pattern]) => pattern.test(key))?.[1]
