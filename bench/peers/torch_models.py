"""The benchmarked networks in plain eager PyTorch. Parameter names and shapes are those of CompVis' latent-diffusion and
taming-transformers checkpoints (LPIPS excepted)."""
import math

import torch
import torch.nn.functional as F
from torch import nn


def fill_by_formula(module, seed='bench', gain=1.0):
    """Sets every parameter by the hash formula of the golden fixtures, so that another engine can hold the same weights."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            u = hashed(f'{seed}:{name}', value.shape)
            if value.dim() >= 2:
                u = u * gain * math.sqrt(3 / value[0].numel())
            elif name.endswith('.weight'):
                u = 1 + 0.25 * u
            else:
                u = 0.1 * u
            value.copy_(u)
    return module


def hashed(key, shape):
    """Float64 values in [-1, 1) from a 32-bit hash of the key and the flat index."""
    low = 0xFFFFFFFF
    h = 0x811C9DC5
    for byte in key.encode():
        h = (h ^ byte) * 0x01000193 & low
    x = (torch.arange(math.prod(shape)) * 0x9E3779B1 + h) & low
    x = (x ^ (x >> 16)) * 0x85EBCA6B & low
    x = (x ^ (x >> 13)) * 0xC2B2AE35 & low
    return ((x ^ (x >> 16)) / 2.0**31 - 1).reshape(shape)


# ---- U-Net (ldm/modules/diffusionmodules/openaimodel.py)

def timestep_embedding(t, dim, max_period=10000):
    half = dim // 2
    freqs = torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float32) / half)
    args = t[:, None].float() * freqs[None]
    emb = torch.cat([args.cos(), args.sin()], dim=-1)
    return F.pad(emb, (0, dim % 2))


class ResBlock(nn.Module):
    def __init__(self, channels, emb_channels, out_channels, dropout=0.0, use_scale_shift_norm=False):
        super().__init__()
        self.scale_shift = use_scale_shift_norm
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1))
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(emb_channels, out_channels * (2 if use_scale_shift_norm else 1)))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels), nn.SiLU(), nn.Dropout(dropout),
            nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip_connection = nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x, emb):
        h = self.in_layers(x)
        e = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(x) + h


class AttentionBlock(nn.Module):
    def __init__(self, channels, num_heads=1, num_head_channels=-1, use_new_attention_order=False):
        super().__init__()
        self.heads = num_heads if num_head_channels == -1 else channels // num_head_channels
        self.new_order = use_new_attention_order
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, channels * 3, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        b, c, *spatial = x.shape
        x = x.reshape(b, c, -1)
        qkv = self.qkv(self.norm(x))
        ch = c // self.heads
        if self.new_order:
            q, k, v = (part.reshape(b * self.heads, ch, -1) for part in qkv.chunk(3, dim=1))
        else:
            q, k, v = qkv.reshape(b * self.heads, ch * 3, -1).split(ch, dim=1)
        scale = ch**-0.25
        weight = torch.einsum('bct,bcs->bts', q * scale, k * scale).softmax(dim=-1)
        h = torch.einsum('bts,bcs->bct', weight, v).reshape(b, c, -1)
        return (x + self.proj_out(h)).reshape(b, c, *spatial)


class CrossAttention(nn.Module):
    def __init__(self, channels, context_dim, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_dim, channels, bias=False)
        self.to_v = nn.Linear(context_dim, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x, context=None):
        context = x if context is None else context
        q, k, v = (layer(of).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for layer, of in ((self.to_q, x), (self.to_k, context), (self.to_v, context)))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    def __init__(self, channels, inner):
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, x):
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.net = nn.Sequential(GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, x):
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    def __init__(self, channels, context_dim, heads):
        super().__init__()
        self.attn1 = CrossAttention(channels, channels, heads)
        self.ff = FeedForward(channels)
        self.attn2 = CrossAttention(channels, context_dim, heads)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))

    def forward(self, x, context):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, channels, context_dim, heads):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(channels, context_dim, heads)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x, context):
        h, size = self.proj_in(self.norm(x)), x.shape[2:]
        h = h.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            h = block(h, context)
        return x + self.proj_out(h.transpose(1, 2).unflatten(2, size))


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x):
        return self.op(x)


class Upsample(nn.Module):
    """Of the U-Net and of the autoencoder."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode='nearest'))


class Stage(nn.Sequential):
    def forward(self, x, emb, context=None):
        for layer in self:
            x = (layer(x, emb) if isinstance(layer, ResBlock)
                 else layer(x, context) if isinstance(layer, SpatialTransformer) else layer(x))
        return x


class UNetModel(nn.Module):
    def __init__(self, in_channels=4, out_channels=4, model_channels=64, channel_mult=(1, 2, 2), num_res_blocks=2,
                 attention_resolutions=(4,), num_heads=-1, num_head_channels=-1, num_classes=None, dropout=0.0,
                 use_scale_shift_norm=False, use_new_attention_order=False, context_dim=None):
        super().__init__()
        self.model_channels = model_channels
        emb = model_channels * 4
        self.time_embed = nn.Sequential(nn.Linear(model_channels, emb), nn.SiLU(), nn.Linear(emb, emb))
        if num_classes is not None:
            self.label_emb = nn.Embedding(num_classes, emb)

        def res(c_in, c_out):
            return ResBlock(c_in, emb, c_out, dropout, use_scale_shift_norm)

        def attention(c):
            if context_dim is not None:
                return SpatialTransformer(c, context_dim, num_heads if num_head_channels == -1 else c // num_head_channels)
            return AttentionBlock(c, num_heads, num_head_channels, use_new_attention_order)

        ch, ds, skips = model_channels, 1, [model_channels]
        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(in_channels, ch, 3, padding=1))])
        for level, mult in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers = [res(ch, mult * model_channels)]
                ch = mult * model_channels
                if ds in attention_resolutions:
                    layers.append(attention(ch))
                self.input_blocks.append(Stage(*layers))
                skips.append(ch)
            if level != len(channel_mult) - 1:
                self.input_blocks.append(Stage(Downsample(ch)))
                skips.append(ch)
                ds *= 2
        self.middle_block = Stage(res(ch, ch), attention(ch), res(ch, ch))
        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(channel_mult))):
            for i in range(num_res_blocks + 1):
                layers = [res(ch + skips.pop(), mult * model_channels)]
                ch = mult * model_channels
                if ds in attention_resolutions:
                    layers.append(attention(ch))
                if level and i == num_res_blocks:
                    layers.append(Upsample(ch))
                    ds //= 2
                self.output_blocks.append(Stage(*layers))
        self.out = nn.Sequential(nn.GroupNorm(32, ch), nn.SiLU(), nn.Conv2d(model_channels, out_channels, 3, padding=1))

    def forward(self, x, timesteps, y=None, context=None):
        emb = self.time_embed(timestep_embedding(timesteps, self.model_channels))
        if y is not None:
            emb = emb + self.label_emb(y)
        skips = []
        for block in self.input_blocks:
            x = block(x, emb, context)
            skips.append(x)
        x = self.middle_block(x, emb, context)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], dim=1), emb, context)
        return self.out(x)


# ---- KL autoencoder (ldm/modules/diffusionmodules/model.py, ldm/models/autoencoder.py)

def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResnetBlock(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.norm1, self.conv1 = norm(c_in), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm2, self.conv2 = norm(c_out), nn.Conv2d(c_out, c_out, 3, padding=1)
        if c_in != c_out:
            self.nin_shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, 'nin_shortcut') else x) + h


class AttnBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = norm(c)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))
        weight = (torch.bmm(q.transpose(1, 2), k) * x.shape[1]**-0.5).softmax(dim=2)
        return x + self.proj_out(torch.bmm(v, weight.transpose(1, 2)).reshape(x.shape))


class PaddedDownsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Middle(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = ResnetBlock(c, c), AttnBlock(c), ResnetBlock(c, c)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    def __init__(self, c_in, c_out, blocks, attention, resample=None):
        super().__init__()
        self.block = nn.ModuleList([ResnetBlock(c_in if i == 0 else c_out, c_out) for i in range(blocks)])
        self.attn = nn.ModuleList([AttnBlock(c_out) for _ in range(blocks if attention else 0)])
        if resample == 'down':
            self.downsample = PaddedDownsample(c_out)
        elif resample == 'up':
            self.upsample = Upsample(c_out)

    def forward(self, x):
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        if hasattr(self, 'downsample'):
            return self.downsample(x)
        return self.upsample(x) if hasattr(self, 'upsample') else x


class Encoder(nn.Module):
    def __init__(self, ch, ch_mult, num_res_blocks, in_channels, z_channels, resolution, attn_resolutions, **_):
        super().__init__()
        widths = [ch] + [ch * m for m in ch_mult]
        last = len(ch_mult) - 1
        self.conv_in = nn.Conv2d(in_channels, ch, 3, padding=1)
        self.down = nn.ModuleList([
            Level(widths[i], widths[i + 1], num_res_blocks, resolution >> i in attn_resolutions, i < last and 'down')
            for i in range(last + 1)])
        self.mid = Middle(widths[-1])
        self.norm_out, self.conv_out = norm(widths[-1]), nn.Conv2d(widths[-1], 2 * z_channels, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    def __init__(self, ch, ch_mult, num_res_blocks, out_ch, z_channels, resolution, attn_resolutions, **_):
        super().__init__()
        widths = [ch * m for m in ch_mult] + [ch * ch_mult[-1]]
        self.conv_in = nn.Conv2d(z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList([
            Level(widths[i + 1], widths[i], num_res_blocks + 1, resolution >> i in attn_resolutions, i > 0 and 'up')
            for i in range(len(ch_mult))])
        self.norm_out, self.conv_out = norm(widths[0]), nn.Conv2d(widths[0], out_ch, 3, padding=1)

    def forward(self, z):
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class AutoencoderKL(nn.Module):
    def __init__(self, embed_dim=4, z_channels=4, **dd):
        super().__init__()
        self.encoder, self.decoder = Encoder(z_channels=z_channels, **dd), Decoder(z_channels=z_channels, **dd)
        self.quant_conv = nn.Conv2d(2 * z_channels, 2 * embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, z_channels, 1)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))

    def forward(self, x, noise):
        """Reconstruction and the KL divergence to the standard normal, per image."""
        mean, logvar = self.quant_conv(self.encoder(x)).chunk(2, dim=1)
        logvar = logvar.clamp(-30.0, 20.0)
        kl = 0.5 * torch.sum(mean**2 + logvar.exp() - 1.0 - logvar, dim=[1, 2, 3])
        return self.decode(mean + torch.exp(0.5 * logvar) * noise), kl


# ---- Adversarial parts (taming/modules/discriminator/model.py, taming/modules/losses/lpips.py)

class NLayerDiscriminator(nn.Module):
    def __init__(self, input_nc=3, ndf=64, n_layers=3):
        super().__init__()
        widths = [ndf * min(2**n, 8) for n in range(n_layers + 1)]
        layers = [nn.Conv2d(input_nc, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for n in range(1, n_layers + 1):
            stride = 2 if n < n_layers else 1
            layers += [nn.Conv2d(widths[n - 1], widths[n], 4, stride=stride, padding=1, bias=False),
                       nn.BatchNorm2d(widths[n]), nn.LeakyReLU(0.2, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, x):
        return self.main(x)


class LPIPS(nn.Module):
    """VGG16 features and 1x1 heads, all frozen; pictures in [-1, 1]. Returns one distance an image, [N, 1, 1, 1]."""
    widths = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    def __init__(self):
        super().__init__()
        self.slices, c_in = nn.ModuleList(), 3
        for index, widths in enumerate(self.widths):
            layers = [nn.MaxPool2d(2)] if index else []
            for c in widths:
                layers += [nn.Conv2d(c_in, c, 3, padding=1), nn.ReLU(inplace=True)]
                c_in = c
            self.slices.append(nn.Sequential(*layers))
        self.lins = nn.ModuleList([nn.Conv2d(widths[-1], 1, 1, bias=False) for widths in self.widths])
        self.register_buffer('shift', torch.tensor([-.030, -.088, -.188])[None, :, None, None])
        self.register_buffer('scale', torch.tensor([.458, .448, .450])[None, :, None, None])
        self.requires_grad_(False)

    def forward(self, a, b):
        a, b = (a - self.shift) / self.scale, (b - self.shift) / self.scale
        total = 0
        for features, lin in zip(self.slices, self.lins):
            a, b = features(a), features(b)
            unit_a, unit_b = (f / (torch.sqrt(torch.sum(f**2, dim=1, keepdim=True)) + 1e-10) for f in (a, b))
            total = total + lin((unit_a - unit_b)**2).mean([2, 3], keepdim=True)
        return total


# ---- CLIP's text transformer (transformers' CLIPTextModel)

class CLIPAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for layer in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class CLIPLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.self_attn = CLIPAttention(width, heads)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(dict(fc1=nn.Linear(width, 4 * width), fc2=nn.Linear(4 * width, width)))

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        h = self.mlp['fc1'](self.layer_norm2(x))
        return x + self.mlp['fc2'](h * torch.sigmoid(1.702 * h))


class CLIPText(nn.Module):
    def __init__(self, vocabulary=49408, positions=77, width=768, layers=12, heads=12):
        super().__init__()
        text_model = nn.ModuleDict(dict(
            embeddings=nn.ModuleDict(dict(token_embedding=nn.Embedding(vocabulary, width),
                                          position_embedding=nn.Embedding(positions, width))),
            encoder=nn.ModuleDict(dict(layers=nn.ModuleList([CLIPLayer(width, heads) for _ in range(layers)]))),
            final_layer_norm=nn.LayerNorm(width)))
        self.transformer = nn.ModuleDict(dict(text_model=text_model))

    def forward(self, ids):
        text_model = self.transformer['text_model']
        embeddings = text_model['embeddings']
        x = embeddings['token_embedding'](ids) + embeddings['position_embedding'].weight
        for layer in text_model['encoder']['layers']:
            x = layer(x)
        return text_model['final_layer_norm'](x)
