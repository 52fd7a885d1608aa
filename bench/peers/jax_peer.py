#!/usr/bin/python3
"""JAX as a benchmark peer, compiled by XLA, in the protocol of torch_peer.py (README.md): the works that have a plain network.
Channels last, as XLA's convolutions on a CPU like it; state donated; one compiled program a step."""
import json
import math
import os
import sys
import time

CHANNELS = LATENTS = 4
HALF = False  # networks in bfloat16, weights and optimiser in float32


# ---- weights and inputs by the hash formula of the golden fixtures

def hashed(key, shape):
    low = 0xFFFFFFFF
    h = 0x811C9DC5
    for byte in key.encode():
        h = (h ^ byte) * 0x01000193 & low
    x = (np.arange(math.prod(shape), dtype=np.uint64) * 0x9E3779B1 + h) & low
    x = (x ^ (x >> 16)) * 0x85EBCA6B & low
    x = (x ^ (x >> 13)) * 0xC2B2AE35 & low
    return ((x ^ (x >> 16)) / 2.0**31 - 1).reshape(shape)


def pictures(name, *shape):
    """An input of the bench, from N, C, H, W to channels last."""
    return jnp.asarray(hashed(f'bench:in.{name}', shape).transpose(0, 2, 3, 1), jnp.float32)


class Declared(dict):
    """Parameters by name, each made where it is first read, in the layout in which it is read."""

    def read(self, name, shape, arranged=lambda w: w):
        if name not in self:
            u = hashed(f'bench:{name}', shape)
            if len(shape) >= 2:
                u = u * math.sqrt(3 / math.prod(shape[1:]))
            elif name.endswith('.weight'):
                u = 1 + 0.25 * u
            else:
                u = 0.1 * u
            self[name] = jnp.asarray(arranged(u), jnp.float32)
        return rounded(self[name])


class Given(dict):
    def read(self, name, shape, arranged=None):
        return rounded(self[name])


def rounded(x):
    """As networks compute it."""
    return x.astype(jnp.bfloat16) if HALF else x


def linear(p, name, x, out):
    w = p.read(f'{name}.weight', (out, x.shape[-1]), lambda u: u.T)
    return x @ w + p.read(f'{name}.bias', (out,))


def conv(p, name, x, out, kernel=3, stride=1, padding=None):
    w = p.read(f'{name}.weight', (out, x.shape[-1], kernel, kernel), lambda u: u.transpose(2, 3, 1, 0))
    around = ((kernel // 2,) * 2,) * 2 if padding is None else padding
    y = jax.lax.conv_general_dilated(x, w, (stride, stride), around, dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    return y + p.read(f'{name}.bias', (out,))


def conv1d(p, name, x, out):
    """A convolution of kernel 1 over positions: a product."""
    w = p.read(f'{name}.weight', (out, x.shape[-1], 1), lambda u: u[:, :, 0].T)
    return x @ w + p.read(f'{name}.bias', (out,))


def group_norm(p, name, x, eps=1e-5):
    c = x.shape[-1]
    groups = x.reshape(x.shape[0], -1, 32, c // 32)
    centred = groups - groups.mean((1, 3), keepdims=True)
    normal = centred * jax.lax.rsqrt((centred**2).mean((1, 3), keepdims=True) + eps)
    return normal.reshape(x.shape) * p.read(f'{name}.weight', (c,)) + p.read(f'{name}.bias', (c,))


def upsampled(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


# ---- U-Net (ldm/modules/diffusionmodules/openaimodel.py)

def residual(p, name, x, emb, out):
    h = conv(p, f'{name}.in_layers.2', silu(group_norm(p, f'{name}.in_layers.0', x)), out)
    h = h + linear(p, f'{name}.emb_layers.1', silu(emb), out)[:, None, None]
    h = conv(p, f'{name}.out_layers.3', silu(group_norm(p, f'{name}.out_layers.0', h)), out)
    return (x if x.shape[-1] == out else conv(p, f'{name}.skip_connection', x, out, kernel=1)) + h


def attention(p, name, x, head=32):
    b, height, width, c = x.shape
    flat = x.reshape(b, -1, c)
    qkv = conv1d(p, f'{name}.qkv', group_norm(p, f'{name}.norm', flat), 3 * c)
    q, k, v = (part[:, :, :, 0] for part in jnp.split(qkv.reshape(b, -1, c // head, 3, head), 3, axis=3))
    weight = jax.nn.softmax(jnp.einsum('bthc,bshc->bhts', q, k) * head**-0.5)
    h = jnp.einsum('bhts,bshc->bthc', weight, v).reshape(flat.shape)
    return (flat + conv1d(p, f'{name}.proj_out', h, c)).reshape(x.shape)


def unet(p, x, t, y=None, base=64, multipliers=(1, 2, 2), blocks=2, attended=(4,), classes=None):
    half, x = base // 2, rounded(x)
    angles = t[:, None].astype(jnp.float32) * jnp.exp(-math.log(10000) * jnp.arange(half) / half)
    emb = rounded(jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1))
    emb = linear(p, 'time_embed.2', silu(linear(p, 'time_embed.0', emb, 4 * base)), 4 * base)
    if y is not None:
        emb = emb + p.read('label_emb.weight', (classes, 4 * base))[y]
    h = conv(p, 'input_blocks.0.0', x, base)
    skips, at, factor = [h], 1, 1
    for level, m in enumerate(multipliers):
        for _ in range(blocks):
            h = residual(p, f'input_blocks.{at}.0', h, emb, m * base)
            if factor in attended:
                h = attention(p, f'input_blocks.{at}.1', h)
            skips, at = skips + [h], at + 1
        if level != len(multipliers) - 1:
            h = conv(p, f'input_blocks.{at}.0.op', h, m * base, stride=2, padding=((1, 1), (1, 1)))
            skips, at, factor = skips + [h], at + 1, factor * 2
    c = h.shape[-1]
    h = residual(p, 'middle_block.0', h, emb, c)
    h = residual(p, 'middle_block.2', attention(p, 'middle_block.1', h), emb, c)
    at = 0
    for level, m in reversed(list(enumerate(multipliers))):
        for i in range(blocks + 1):
            h = residual(p, f'output_blocks.{at}.0', jnp.concatenate([h, skips.pop()], -1), emb, m * base)
            inner = 1
            if factor in attended:
                h, inner = attention(p, f'output_blocks.{at}.1', h), 2
            if level and i == blocks:
                h, factor = conv(p, f'output_blocks.{at}.{inner}.conv', upsampled(h), m * base), factor // 2
            at += 1
    return conv(p, 'out.2', silu(group_norm(p, 'out.0', h)), x.shape[-1]).astype(jnp.float32)


# ---- KL autoencoder (ldm/modules/diffusionmodules/model.py)

def block(p, name, x, out):
    h = conv(p, f'{name}.conv1', silu(group_norm(p, f'{name}.norm1', x, 1e-6)), out)
    h = conv(p, f'{name}.conv2', silu(group_norm(p, f'{name}.norm2', h, 1e-6)), out)
    return (x if x.shape[-1] == out else conv(p, f'{name}.nin_shortcut', x, out, kernel=1)) + h


def middle(p, name, x):
    c, x = x.shape[-1], block(p, f'{name}.block_1', x, x.shape[-1])
    h = group_norm(p, f'{name}.attn_1.norm', x, 1e-6)
    q, k, v = (conv(p, f'{name}.attn_1.{part}', h, c, kernel=1).reshape(x.shape[0], -1, c) for part in 'qkv')
    weight = jax.nn.softmax(jnp.einsum('btc,bsc->bts', q, k) * c**-0.5)
    x = x + conv(p, f'{name}.attn_1.proj_out', jnp.einsum('bts,bsc->btc', weight, v).reshape(x.shape), c, kernel=1)
    return block(p, f'{name}.block_2', x, c)


def encoded(p, x, base=32, multipliers=(1, 2, 4)):
    """Mean and log-variance of the posterior."""
    h = conv(p, 'encoder.conv_in', rounded(x), base)
    for i, m in enumerate(multipliers):
        h = block(p, f'encoder.down.{i}.block.0', h, m * base)
        if i < len(multipliers) - 1:
            h = conv(p, f'encoder.down.{i}.downsample.conv', h, m * base, stride=2, padding=((0, 1), (0, 1)))
    h = silu(group_norm(p, 'encoder.norm_out', middle(p, 'encoder.mid', h), 1e-6))
    moments = conv(p, 'quant_conv', conv(p, 'encoder.conv_out', h, 2 * LATENTS), 2 * LATENTS, kernel=1)
    mean, logvar = jnp.split(moments.astype(jnp.float32), 2, axis=-1)
    return mean, jnp.clip(logvar, -30, 20)


def decoded(p, z, base=32, multipliers=(1, 2, 4)):
    h = conv(p, 'decoder.conv_in', conv(p, 'post_quant_conv', rounded(z), LATENTS, kernel=1), base * multipliers[-1])
    h = middle(p, 'decoder.mid', h)
    for i, m in reversed(list(enumerate(multipliers))):
        for j in range(2):
            h = block(p, f'decoder.up.{i}.block.{j}', h, m * base)
        if i:
            h = conv(p, f'decoder.up.{i}.upsample.conv', upsampled(h), m * base)
    return conv(p, 'decoder.conv_out', silu(group_norm(p, 'decoder.norm_out', h, 1e-6)), 3).astype(jnp.float32)


# ---- works

def forward(f, *args):
    """The mean absolute output of f(parameters, *args)."""
    declared = Declared()
    f(declared, *args)
    run = jax.jit(lambda p, *given: jnp.abs(f(Given(p), *given)).mean())
    weights = dict(declared)
    return lambda: run(weights, *args)


def trained(loss, rate, betas, decay):
    """Steps of AdamW (decay 0: Adam) on loss(parameters)."""
    declared = Declared()
    loss(declared)
    zeros = {name: jnp.zeros_like(w) for name, w in declared.items()}
    state = [dict(declared), zeros, {name: jnp.zeros_like(w) for name, w in declared.items()}, jnp.zeros((), jnp.int32)]

    def step(p, m, v, i):
        value, g = jax.value_and_grad(lambda weights: loss(Given(weights)))(p)
        i = i + 1
        m = {n: betas[0] * m[n] + (1 - betas[0]) * g[n] for n in p}
        v = {n: betas[1] * v[n] + (1 - betas[1]) * g[n]**2 for n in p}
        first, second = 1 - betas[0]**i.astype(jnp.float32), 1 - betas[1]**i.astype(jnp.float32)
        p = {n: p[n] * (1 - rate * decay) - rate * (m[n] / first) / (jnp.sqrt(v[n] / second) + 1e-8) for n in p}
        return value, p, m, v, i

    compiled = jax.jit(step, donate_argnums=(0, 1, 2, 3))

    def run():
        value, *state[:] = compiled(*state)
        return value
    return run


def timesteps(n):
    return jnp.asarray([(2 * i + 1) * 1000 // (2 * n) for i in range(n)])


def network(model_channels=64, channel_mult=(1, 2, 2), num_res_blocks=2, attention_resolutions=(4,)):
    """The U-Net by the names that torch_peer.py has for its sizes."""
    return dict(base=model_channels, multipliers=tuple(channel_mult), blocks=num_res_blocks, attended=tuple(attention_resolutions))


def unet_sample(batch=8, size=(32, 32), **sizes):
    of = network(**sizes)
    return forward(lambda p, x, t: unet(p, x, t, **of), pictures('x', batch, CHANNELS, *size), timesteps(batch))


def unet_train(batch=8, size=(32, 32), **sizes):
    of = network(**sizes)
    x, noise = (pictures(name, batch, CHANNELS, *size) for name in ('x', 'noise'))
    t = timesteps(batch)
    bars = np.cumprod(1 - np.linspace(0.0015**0.5, 0.0195**0.5, 1000)**2)
    signal, sigma = (jnp.asarray(np.sqrt(s)[np.asarray(t)][:, None, None, None], jnp.float32) for s in (bars, 1 - bars))

    def loss(p):
        return ((unet(p, signal * x + sigma * noise, t, **of) - noise)**2).mean()
    return trained(loss, 1e-4, (0.9, 0.999), 0.01)


def autoencoder_decode(batch=4, ch=32, ch_mult=(1, 2, 4), resolution=64):
    side = resolution >> len(ch_mult) - 1
    return forward(lambda p, z: decoded(p, z, ch, ch_mult), pictures('noise', batch, LATENTS, side, side))


def autoencoder_train(batch=4, ch=32, ch_mult=(1, 2, 4), resolution=64):
    side = resolution >> len(ch_mult) - 1
    x, noise = pictures('x', batch, 3, resolution, resolution), pictures('noise', batch, LATENTS, side, side)

    def loss(p):
        mean, logvar = encoded(p, x, ch, ch_mult)
        kl = 0.5 * (mean**2 + jnp.exp(logvar) - 1 - logvar).sum()
        drawn = decoded(p, mean + jnp.exp(0.5 * logvar) * noise, ch, ch_mult)
        return (jnp.abs(x - drawn).sum() + 1e-6 * kl) / batch
    return trained(loss, 4.5e-6, (0.5, 0.9), 0)


def sample_guided(n=16, classes=11, steps=25):
    """DPM-Solver++(2M), trailing, v-prediction, guidance 2.5: one compiled program for the network, as JAX's users have it."""
    declared = Declared()
    x_start = pictures('x', n, CHANNELS, 8, 8)
    y = jnp.concatenate([jnp.full((n,), classes - 1), jnp.arange(n) % (classes - 1)])
    small = dict(multipliers=(1, 2), blocks=1, attended=(2,), classes=classes)
    both = jnp.concatenate([x_start, x_start])
    unet(declared, both, jnp.zeros((2 * n,), jnp.int32), y, **small)
    weights = dict(declared)
    bars = np.cumprod(1 - np.linspace(0.0015**0.5, 0.0155**0.5, 1000)**2)
    ts = [round(1000 - i * 1000 / steps) - 1 for i in range(steps)]
    alphas, sigmas = np.append(np.sqrt(bars[ts]), 1.0), np.append(np.sqrt(1 - bars[ts]), 0.0)
    with np.errstate(divide='ignore'):
        lambdas = np.log(alphas) - np.log(sigmas)

    def one(p, x, last, t, alpha, sigma, rate, keep, add):
        without, given = jnp.split(unet(Given(p), jnp.concatenate([x, x]), jnp.full((2 * n,), t), y, **small), 2)
        x0 = alpha * x - sigma * (without + 2.5 * (given - without))
        data = (1 + rate) * x0 - rate * last
        return keep * x + add * data, x0
    compiled = jax.jit(one, donate_argnums=(1, 2))

    def run():
        x, last = jnp.copy(x_start), jnp.zeros_like(x_start)
        for i, t in enumerate(ts):
            h = lambdas[i + 1] - lambdas[i]
            rate = (h / (lambdas[i] - lambdas[i - 1])) / 2 if i > 0 and sigmas[i + 1] > 0 else 0.0
            keep, add = sigmas[i + 1] / sigmas[i], -alphas[i + 1] * math.expm1(-h)
            x, last = compiled(weights, x, last, t, *(np.float32(s) for s in (alphas[i], sigmas[i], rate, keep, add)))
        return jnp.abs(x).mean()
    return run


WORKS = {'unet-sample': unet_sample, 'unet-train': unet_train, 'autoencoder-decode': autoencoder_decode,
         'autoencoder-train': autoencoder_train, 'sample-guided': sample_guided}


def memory_mib(field):
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ':')) / 1024


def main():
    iterate, before = None, 0
    for line in sys.stdin:
        try:
            request = json.loads(line)
            command = request['cmd']
            if command == 'quit':
                return
            if command == 'setup':
                if request['work'] not in WORKS:
                    raise ValueError(f"{request['work']} has no network in JAX here; those that have: {', '.join(WORKS)}")
                global HALF
                HALF = request.get('mode') == 'jax_bfloat16'
                before, iterate = memory_mib('VmRSS'), WORKS[request['work']](**request.get('config', {}))
                answer = dict(ok=True, jax=jax.__version__)
            elif command == 'memory':
                on_card = jax.devices()[0].memory_stats() or {}
                peak = on_card.get('peak_bytes_in_use', 0) / 2**20 or memory_mib('VmHWM')
                answer = dict(peakMiB=peak if on_card else peak - before, absoluteMiB=peak)
            else:
                ms, values = [], []
                for _ in range(request.get('repeats', 1)):
                    start = time.perf_counter()
                    value = float(iterate())
                    ms.append((time.perf_counter() - start) * 1e3)
                    values.append(value)
                answer = dict(ms=ms, values=values)
        except Exception as error:
            answer = dict(ok=False, reason=f'{type(error).__name__}: {error}')
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    if len(sys.argv) > 1 and hasattr(os, 'sched_setaffinity'):  # XLA takes a thread a core that it may run on
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
    try:
        import jax
        import jax.numpy as jnp
        import numpy as np
        silu = jax.nn.silu
    except ImportError as error:
        sys.stdin.readline()
        print(json.dumps(dict(ok=False, reason=f'no JAX for {sys.executable}: {error}')), flush=True)
        sys.exit(0)
    main()
