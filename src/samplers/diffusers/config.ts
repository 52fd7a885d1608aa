import {
  anything,
  type Decoded,
  flag,
  integer,
  list,
  nullable,
  number,
  record,
  text,
  withDefault,
  word,
} from '../../schema.ts'

/**
 * What diffusers' schedulers are configured by (`scheduler_config.json`), under its names; one record for all classes, each of which
 * reads a part of it. Defaults are those that the classes share; where they differ, `defaultsOf` says so.
 */

const spacing = word(['linspace', 'leading', 'trailing'])
export const schedulerConfig = record(
  {},
  {
    num_train_timesteps: withDefault(integer({ min: 1, max: 1_000_000 }), 1000),
    beta_start: withDefault(number({ min: 0 }), 0.0001),
    beta_end: withDefault(number({ min: 0 }), 0.02),
    beta_schedule: withDefault(word(['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid']), 'linear'),
    trained_betas: withDefault(nullable(list(number())), null),
    prediction_type: withDefault(word(['epsilon', 'sample', 'v_prediction', 'flow_prediction']), 'epsilon'),
    rescale_betas_zero_snr: withDefault(flag, false),
    steps_offset: withDefault(integer({ min: 0 }), 0),
    clip_sample_range: withDefault(number({ min: 0 }), 1),
    thresholding: withDefault(flag, false),
    dynamic_thresholding_ratio: withDefault(number({ min: 0, max: 1 }), 0.995),
    sample_max_value: withDefault(number({ min: 0 }), 1),
    use_karras_sigmas: withDefault(flag, false),
    use_exponential_sigmas: withDefault(flag, false),
    use_beta_sigmas: withDefault(flag, false),
    use_lu_lambdas: withDefault(flag, false),
    use_flow_sigmas: withDefault(flag, false),
    flow_shift: withDefault(number({ min: 0 }), 1),
    shift: withDefault(number({ min: 0 }), 1),
    shift_terminal: withDefault(nullable(number({ min: 0 })), null),
    use_dynamic_shifting: withDefault(flag, false),
    time_shift_type: withDefault(word(['exponential', 'linear']), 'exponential'),
    stochastic_sampling: withDefault(flag, false),
    invert_sigmas: withDefault(flag, false),
    final_sigmas_type: withDefault(word(['zero', 'sigma_min']), 'zero'),
    sigma_min: withDefault(nullable(number()), null),
    sigma_max: withDefault(nullable(number()), null),
    interpolation_type: withDefault(word(['linear', 'log_linear']), 'linear'),
    timestep_type: withDefault(word(['discrete', 'continuous']), 'discrete'),
    solver_order: withDefault(integer({ min: 1, max: 3 }), 2),
    euler_at_final: withDefault(flag, false),
    /** A number, or minus infinity. */
    lambda_min_clipped: withDefault(anything, Number.NEGATIVE_INFINITY),
    predict_x0: withDefault(flag, true),
    disable_corrector: withDefault(list(integer()), []),
    skip_prk_steps: withDefault(flag, false),
    original_inference_steps: withDefault(integer({ min: 1 }), 50),
    timestep_scaling: withDefault(number({ min: 0 }), 10),
  },
  {
    timestep_spacing: spacing,
    clip_sample: flag,
    set_alpha_to_one: flag,
    lower_order_final: flag,
    algorithm_type: word(['dpmsolver', 'dpmsolver++', 'sde-dpmsolver', 'sde-dpmsolver++', 'deis']),
    solver_type: word(['midpoint', 'heun', 'logrho', 'bh1', 'bh2']),
    variance_type: nullable(text),
  },
)
export type SchedulerConfig = Decoded<typeof schedulerConfig>
