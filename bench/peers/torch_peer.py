#!/usr/bin/python3
"""Eager PyTorch as a benchmark peer: one JSON request a line on stdin, one JSON answer a line on stdout (README.md).
One work a process, so that the peak memory belongs to it."""
import gc
import json
import math
import os
import sys
import time

UNET = dict(in_channels=4, out_channels=4, model_channels=64, channel_mult=[1, 2, 2], num_res_blocks=2,
            attention_resolutions=[4], num_heads=-1, num_head_channels=32, num_classes=None, dropout=0.0,
            use_scale_shift_norm=False, use_new_attention_order=False, context_dim=None)
DIFFUSION = dict(batch=8, size=[32, 32], timesteps=None, classes=None)
AUTOENCODER = dict(ch=32, ch_mult=[1, 2, 4], num_res_blocks=1, in_channels=3, out_ch=3, z_channels=4, embed_dim=4,
                   resolution=64, attn_resolutions=[])
OPTIMIZER = dict(learning_rate=1e-4, betas=[0.9, 0.999], weight_decay=0.01)
VAE = dict(batch=4, learning_rate=4.5e-6, betas=[0.5, 0.9], kl_weight=1e-6)
GAN = dict(ndf=64, n_layers=3, disc_weight=0.5, disc_factor=1.0, perceptual_weight=0.0)


def given(*groups):
    return {key: value for group in groups for key, value in group.items()}


def take(config, group):
    return {key: config[key] for key in group}


def count(module):
    return sum(p.numel() for p in module.parameters())


def inputs(name, *shape):
    return arranged(hashed(f'bench:in.{name}', shape).float().to(DEVICE))


# ---- modes: how PyTorch runs what the works below declare

MODE, DEVICE = 'eager', 'cpu'
MODES = ('eager', 'channels_last', 'compiled', 'bfloat16')


def arranged(x):
    """Pictures as the mode has them."""
    return x.contiguous(memory_format=torch.channels_last) if MODE in ('channels_last', 'bfloat16') and x.dim() == 4 else x


def float32(result):
    return tuple(map(float32, result)) if isinstance(result, tuple) else result.float()


def in_bfloat16(method):
    def run(*args, **kwargs):
        with torch.autocast(DEVICE, dtype=torch.bfloat16):
            result = method(*args, **kwargs)
        return float32(result)
    return run


def prepared(model, *methods):
    """The model, its weights by the formula, its methods in the mode of this process."""
    fill_by_formula(model)
    model.to(DEVICE)
    if MODE in ('channels_last', 'bfloat16'):
        model.to(memory_format=torch.channels_last)
    for name in methods or ('forward',):
        method = getattr(model, name)
        if MODE == 'bfloat16':
            setattr(model, name, in_bfloat16(method))
        if MODE == 'compiled':
            setattr(model, name, torch.compile(method))
    return model


def timesteps(config):
    n = config['batch']
    return torch.tensor(config['timesteps'] or [(2 * i + 1) * 1000 // (2 * n) for i in range(n)])


def classes(config):
    if config['num_classes'] is None:
        return None
    return torch.tensor(config['classes'] or [i % config['num_classes'] for i in range(config['batch'])])


def unet_sample(config):
    model = prepared(models.UNetModel(**take(config, UNET))).eval()
    x = inputs('x', config['batch'], config['in_channels'], *config['size'])
    t, y = timesteps(config), classes(config)
    context = None if config['context_dim'] is None else inputs('context', config['batch'], 77, config['context_dim'])

    def run():
        with torch.no_grad():
            return model(x, t, y, context).abs().mean()
    return run, count(model)


def text_encode(config):
    model = prepared(models.CLIPText()).eval()
    n = config['batch']
    ids = torch.tensor([[(7919 * (77 * i + j)) % 49408 for j in range(77)] for i in range(n)])

    def run():
        with torch.no_grad():
            return model(ids).abs().mean()
    return run, count(model)


def sample_guided(config):
    """DPM-Solver++(2M) of 25 steps, trailing, v-prediction, guidance 2.5: one call a step, without and with classes together."""
    model = prepared(models.UNetModel(**take(config, UNET))).eval()
    n, none = config['batch'], config['num_classes'] - 1
    x_start = inputs('x', n, config['in_channels'], *config['size'])
    y = torch.cat([torch.full((n,), none), torch.arange(n) % none])
    betas = torch.linspace(0.0015**0.5, 0.0155**0.5, 1000, dtype=torch.float64)**2
    bars = torch.cumprod(1 - betas, dim=0)
    steps = [round(1000 - i * 1000 / 25) - 1 for i in range(25)]
    alphas = [bars[t].sqrt().item() for t in steps] + [1.0]
    sigmas = [(1 - bars[t]).sqrt().item() for t in steps] + [0.0]
    lambdas = [math.log(a / s) if s > 0 else math.inf for a, s in zip(alphas, sigmas)]

    def run():
        x, last = x_start, None
        with torch.no_grad():
            for i, t in enumerate(steps):
                without, with_class = model(torch.cat([x, x]), torch.full((2 * n,), t), y).chunk(2)
                v = without + 2.5 * (with_class - without)
                x0 = alphas[i] * x - sigmas[i] * v
                h = lambdas[i + 1] - lambdas[i]
                data = x0
                if last is not None and sigmas[i + 1] > 0:
                    r = (lambdas[i] - lambdas[i - 1]) / h
                    data = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * last
                x = sigmas[i + 1] / sigmas[i] * x - alphas[i + 1] * math.expm1(-h) * data
                last = x0
            return x.abs().mean()
    return run, count(model)


def unet_train(config):
    model = prepared(models.UNetModel(**take(config, UNET))).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config['learning_rate'], betas=config['betas'],
                                  weight_decay=config['weight_decay'])
    shape = (config['batch'], config['in_channels'], *config['size'])
    x, noise, t, y = inputs('x', *shape), inputs('noise', *shape), timesteps(config), classes(config)
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64)**2
    alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    signal, sigma = alphas_cumprod.sqrt().float(), (1 - alphas_cumprod).sqrt().float()

    def run():
        noisy = signal[t][:, None, None, None] * x + sigma[t][:, None, None, None] * noise
        loss = F.mse_loss(model(noisy, t, y), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss
    return run, count(model)


def autoencoder(config):
    model = prepared(models.AutoencoderKL(**take(config, AUTOENCODER)), 'forward', 'decode')
    side = config['resolution'] >> len(config['ch_mult']) - 1
    latent = inputs('noise', config['batch'], config['embed_dim'], side, side)
    return model, latent


def autoencoder_decode(config):
    model, z = autoencoder(config)
    model.eval()

    def run():
        with torch.no_grad():
            return model.decode(z).abs().mean()
    return run, count(model)


def pictures(config):
    return inputs('x', config['batch'], config['in_channels'], config['resolution'], config['resolution'])


def autoencoder_train(config):
    model, noise = autoencoder(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config['learning_rate'], betas=config['betas'])
    x, batch = pictures(config), config['batch']

    def run():
        reconstruction, kl = model(x, noise)
        loss = (torch.abs(x - reconstruction).sum() + config['kl_weight'] * kl.sum()) / batch
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss
    return run, count(model)


def gan_train(config):
    """The reference's two optimiser turns a batch (LPIPSWithDiscriminator after disc_start, hinge): in each turn only the
    parameters of its optimiser require gradients, as Lightning's toggle_optimizer has it."""
    model, noise = autoencoder(config)
    discriminator = prepared(models.NLayerDiscriminator(config['in_channels'], config['ndf'], config['n_layers']))
    perceptual = prepared(models.LPIPS()).eval() if config['perceptual_weight'] > 0 else None
    settings = dict(lr=config['learning_rate'], betas=config['betas'])
    of_model = torch.optim.Adam(model.parameters(), **settings)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), **settings)
    last_layer, logvar = model.decoder.conv_out.weight, torch.zeros(())
    x, batch = pictures(config), config['batch']

    def step(optimizer, loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def generator_turn():
        model.requires_grad_(True)
        discriminator.requires_grad_(False)
        reconstruction, kl = model(x, noise)
        distance = torch.abs(x - reconstruction)
        if perceptual is not None:
            distance = distance + config['perceptual_weight'] * perceptual(x, reconstruction)
        nll = torch.sum(distance / torch.exp(logvar) + logvar) / batch
        g = -torch.mean(discriminator(reconstruction))
        nll_grad = torch.autograd.grad(nll, last_layer, retain_graph=True)[0]
        g_grad = torch.autograd.grad(g, last_layer, retain_graph=True)[0]
        weight = (nll_grad.norm() / (g_grad.norm() + 1e-4)).clamp(0.0, 1e4).detach() * config['disc_weight']
        loss = nll + config['kl_weight'] * kl.sum() / batch + weight * config['disc_factor'] * g
        step(of_model, loss)
        return loss

    def discriminator_turn():
        model.requires_grad_(False)
        discriminator.requires_grad_(True)
        reconstruction, _ = model(x, noise)
        if perceptual is not None:  # contperceptual.py takes both distances before it asks whose turn it is
            perceptual(x, reconstruction)
        real, fake = discriminator(x.detach()), discriminator(reconstruction.detach())
        hinge = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        step(of_discriminator, config['disc_factor'] * hinge)

    def run():
        loss = generator_turn()
        discriminator_turn()
        return loss
    return run, count(model) + count(discriminator)


WORKS = {
    'unet-sample': (unet_sample, given(UNET, DIFFUSION)),
    'unet-text-sample': (unet_sample, given(UNET, DIFFUSION, dict(context_dim=256))),
    'sd-half-sample': (unet_sample, given(UNET, DIFFUSION, dict(
        model_channels=160, channel_mult=[1, 2, 4, 4], attention_resolutions=[1, 2, 4], num_heads=8, num_head_channels=-1,
        context_dim=768, batch=1, size=[64, 64]))),
    'text-encode': (text_encode, dict(batch=4)),
    'sample-guided': (sample_guided, given(UNET, DIFFUSION, dict(
        channel_mult=[1, 2], num_res_blocks=1, attention_resolutions=[2], num_classes=11, batch=16, size=[8, 8]))),
    'unet-train': (unet_train, given(UNET, DIFFUSION, OPTIMIZER)),
    'autoencoder-decode': (autoencoder_decode, given(AUTOENCODER, dict(batch=4))),
    'autoencoder-train': (autoencoder_train, given(AUTOENCODER, VAE)),
    'gan-train': (gan_train, given(AUTOENCODER, VAE, GAN)),
    'gan-lpips-train': (gan_train, given(AUTOENCODER, VAE, GAN, dict(perceptual_weight=1.0))),
}


def memory_mib(field):
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ':')) / 1024


def reset_peak():
    try:
        with open('/proc/self/clear_refs', 'w') as refs:
            refs.write('5')
    except OSError:
        pass


def blas():
    """The library of the small matrix products. Debian's reference BLAS is many times slower than OpenBLAS: see README.md."""
    with open('/proc/self/maps') as maps:
        names = {os.path.basename(line.split()[-1]) for line in maps if '/' in line}
    fast = sorted(name for name in names if any(kind in name for kind in ('openblas', 'mkl_', 'blis', 'atlas')))
    if not fast and torch.backends.mkl.is_available():  # linked into PyTorch itself
        fast = ['MKL']
    return dict(blas=fast[0] if fast else 'reference BLAS', referenceBlas=not fast)


class Server:
    def __init__(self):
        self.iterate, self.before = None, None

    def setup(self, work, threads=2, config=None, mode='eager', device='cpu'):
        global MODE, DEVICE
        if mode not in MODES:
            raise ValueError(f'unknown mode {mode!r}; known: {", ".join(MODES)}')
        MODE, DEVICE = mode, device
        torch.set_default_device(device) if device != 'cpu' else None
        if self.iterate is not None:
            raise ValueError('one work a process: start another peer')
        if work not in WORKS:
            raise ValueError(f'unknown work {work!r}; known: {", ".join(WORKS)}')
        build, defaults = WORKS[work]
        config = dict(config or {})
        unknown = sorted(set(config) - set(defaults))
        if unknown:
            raise ValueError(f'unknown config of {work}: {", ".join(unknown)}; known: {", ".join(defaults)}')
        if 'num_heads' in config:
            config.setdefault('num_head_channels', -1)
        torch.set_num_threads(threads)
        gc.collect()
        reset_peak()
        self.before = memory_mib('VmRSS')
        self.iterate, parameters = build(given(defaults, config))
        return dict(ok=True, parameters=parameters, torch=torch.__version__, threads=torch.get_num_threads(),
                    **blas())

    def run(self, repeats=1):
        if self.iterate is None:
            raise ValueError('run before setup')
        ms, values = [], []
        for _ in range(repeats):
            start = time.perf_counter()
            value = self.iterate()
            ms.append((time.perf_counter() - start) * 1e3)
            values.append(value.item())
        return dict(ms=ms, values=values)

    def threads(self, threads):
        torch.set_num_threads(threads)
        return dict(ok=True, torch=torch.__version__)

    def peak(self, dtype='float32'):
        """Operations a second of a product of square matrices, the best of some, as large as a tenth of a second allows."""
        best = 0
        for size in (128, 256, 512, 1024, 2048):
            a, b = (torch.rand(size, size).to(getattr(torch, dtype)) for _ in range(2))
            start = time.perf_counter()
            torch.mm(a, b)
            seconds = time.perf_counter() - start
            best = max(best, 2 * size**3 / seconds)
            if seconds > 0.1:
                break
        return dict(flops=best)

    def memory(self):
        if self.before is None:
            raise ValueError('memory before setup')
        if DEVICE != 'cpu':
            peak = torch.cuda.max_memory_allocated() / 2**20
            return dict(peakMiB=peak, absoluteMiB=peak)
        peak = memory_mib('VmHWM')
        return dict(peakMiB=peak - self.before, absoluteMiB=peak)


def main():
    server = Server()
    commands = dict(setup=server.setup, run=server.run, memory=server.memory, peak=server.peak, threads=server.threads)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            command = request.pop('cmd')
            if command == 'quit':
                return
            answer = commands[command](**request)
        except Exception as error:
            answer = dict(ok=False, reason=f'{type(error).__name__}: {error}')
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    try:
        import torch
        import torch.nn.functional as F

        import torch_models as models
        from torch_models import fill_by_formula, hashed
    except ImportError as error:
        sys.stdin.readline()
        print(json.dumps(dict(ok=False, reason=f'no PyTorch for {sys.executable}: {error}')), flush=True)
        sys.exit(0)
    main()
