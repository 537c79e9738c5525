#!/usr/bin/env python3
"""PyTorch side of the benchmark of discrete codes: one workload, one mode, JSON on standard output.

  peer_discrete.py WORKLOAD [--mode eager|channels-last|compile] [--seconds S] [--threads N]

Workloads (float32, random data, those of `elbo bench`):
  cifar10-vq      a training step of Sonnet's VQ-VAE on 3 x 32 x 32, batch 32: 64-128 channels, two residual blocks of 32, 512 codes of 64 with
                  moving averages 0.99, squared error / variance + 0.25 commitment, Adam 3e-4
  prior           a training step of a pre-norm GPT on 64 tokens of 512 symbols with a class token, batch 128: 4 layers, width 128, 4 heads,
                  dropout 0.1, AdamW (0.9, 0.95), gradients clipped at 1
  prior-sample    1,000 rows of 7 x 7 symbols of 128 from that GPT, with a KV cache allocated once, temperature 1; batches of 250, 500 and 1000,
                  of which the best counts
Modes: eager; channels-last, the same with convolutions in that layout (cifar10-vq only); compile, `torch.compile`.
Prints {"workload","mode","threads","images_per_s","ms_per_step","reps"}; images_per_s is the best rep, reps lists them all.
"""
import argparse, json, os, time
import torch
from torch import nn, optim
from torch.nn import functional as F

ap = argparse.ArgumentParser()
ap.add_argument("workload", choices=["cifar10-vq", "prior", "prior-sample"])
ap.add_argument("--mode", default="eager", choices=["eager", "channels-last", "compile"])
ap.add_argument("--seconds", type=float, default=8.0)
ap.add_argument("--threads", type=int, default=os.cpu_count())
a = ap.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)


class Residual(nn.Module):
    """Sonnet's residual stack: a 3 x 3 convolution, blocks, ReLU."""

    def __init__(s, i, o, width=32, blocks=2):
        super().__init__()
        s.input = nn.Conv2d(i, o, 3, padding=1)
        s.a = nn.ModuleList(nn.Conv2d(o, width, 3, padding=1) for _ in range(blocks))
        s.b = nn.ModuleList(nn.Conv2d(width, o, 1) for _ in range(blocks))

    def forward(s, x):
        x = s.input(x)
        for a, b in zip(s.a, s.b):
            x = x + b(F.relu(a(F.relu(x))))
        return F.relu(x)


class Quantizer(nn.Module):
    """Moving averages (van den Oord et al. 2017, appendix A.1) that start consistent."""

    def __init__(s, codes=512, dims=64, decay=0.99, eps=1e-5):
        super().__init__()
        s.decay, s.eps = decay, eps
        e = torch.randn(codes, dims)
        s.register_buffer("e", e)
        s.register_buffer("n", torch.ones(codes))
        s.register_buffer("m", e.clone())

    def forward(s, z):
        z = z.permute(0, 2, 3, 1)
        rows = z.reshape(-1, z.shape[-1])
        with torch.no_grad():
            nearest = torch.addmm(s.e.square().sum(1), rows, s.e.t(), alpha=-2).argmin(1)
        q = F.embedding(nearest, s.e)
        if s.training:
            with torch.no_grad():
                count = torch.bincount(nearest, minlength=len(s.n)).float()
                s.n.lerp_(count, 1 - s.decay)
                s.m.lerp_(torch.zeros_like(s.m).index_add_(0, nearest, rows), 1 - s.decay)
                total = s.n.sum()
                s.e.copy_(s.m / ((s.n + s.eps) / (total + len(s.n) * s.eps) * total)[:, None])
        q = q.view_as(z)
        return (z + (q - z).detach()).permute(0, 3, 1, 2), F.mse_loss(z, q)


class VqVae(nn.Module):
    def __init__(s):
        super().__init__()
        s.encoder = nn.Sequential(nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(), Residual(128, 128), nn.Conv2d(128, 64, 1))
        s.quantizer = Quantizer()
        s.decoder = nn.Sequential(Residual(64, 128), nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(64, 3, 4, 2, 1))

    def loss(s, x):
        q, commitment = s.quantizer(s.encoder(x))
        return F.mse_loss(s.decoder(q), x) / 0.063 + 0.25 * commitment


class Block(nn.Module):
    def __init__(s, d, heads, dropout):
        super().__init__()
        s.heads, s.dropout = heads, dropout
        s.norm1, s.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        s.qkv, s.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        s.up, s.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def added(s, x):
        return F.dropout(x, s.dropout, s.training)

    def forward(s, x):
        n, t, d = x.shape
        q, k, v = s.qkv(s.norm1(x)).view(n, t, 3, s.heads, d // s.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, d)
        x = x + s.added(s.out(y))
        return x + s.added(s.down(F.gelu(s.up(s.norm2(x)))))

    def step(s, x, keys, values, at):
        """One token of each row; keys and values [n, heads, tokens, d / heads] are filled in."""
        n, d = x.shape
        q, k, v = s.qkv(s.norm1(x)).view(n, 3, s.heads, 1, d // s.heads).unbind(1)
        keys[:, :, at : at + 1], values[:, :, at : at + 1] = k, v
        y = F.scaled_dot_product_attention(q, keys[:, :, : at + 1], values[:, :, : at + 1]).reshape(n, d)
        x = x + s.out(y)
        return x + s.down(F.gelu(s.up(s.norm2(x))))


class Gpt(nn.Module):
    def __init__(s, sides, symbols, classes=10, d=128, layers=4, heads=4, dropout=0.1):
        super().__init__()
        (h, w), s.tokens, s.heads, s.d, s.dropout = sides, sides[0] * sides[1], heads, d, dropout
        s.symbol, s.start = nn.Embedding(symbols, d), nn.Embedding(classes + 1, d)
        s.row, s.column = nn.Embedding(h, d), nn.Embedding(w, d)
        s.blocks = nn.ModuleList(Block(d, heads, dropout) for _ in range(layers))
        s.norm, s.head = nn.LayerNorm(d), nn.Linear(d, symbols)
        places = torch.arange(s.tokens)
        s.register_buffer("rows", places // w)
        s.register_buffer("columns", places % w)
        for p in s.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def positions(s):
        return s.row(s.rows) + s.column(s.columns)

    def loss(s, k, y):
        y = torch.where(torch.rand(len(y)) < 0.1, 10, y)
        x = torch.cat([s.start(y)[:, None], s.symbol(k[:, :-1])], 1) + s.positions()
        x = F.dropout(x, s.dropout, s.training)
        for block in s.blocks:
            x = block(x)
        return F.cross_entropy(s.head(s.norm(x)).flatten(0, 1), k.flatten(), reduction="sum") / len(k)

    @torch.inference_mode()
    def sample(s, y):
        n, size = len(y), s.d // s.heads
        cache = torch.empty(len(s.blocks), 2, n, s.heads, s.tokens, size)
        positions, found = s.positions(), torch.empty(n, s.tokens, dtype=torch.long)
        x = s.start(y)
        for t in range(s.tokens):
            x = x + positions[t]
            for block, (keys, values) in zip(s.blocks, cache):
                x = block.step(x, keys, values, t)
            found[:, t] = k = torch.multinomial(F.softmax(s.head(s.norm(x)), -1), 1)[:, 0]
            x = s.symbol(k)
        return found


def training():
    if a.workload == "cifar10-vq":
        m, n = VqVae(), 32
        x = torch.rand(1024, 3, 32, 32)
        if a.mode == "channels-last":
            m, x = m.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
        data, opt, clip = (x,), optim.Adam(m.parameters(), lr=3e-4, fused=True), False
    else:
        m, n = Gpt((8, 8), 512), 128
        data, clip = (torch.randint(512, (4096, 64)), torch.randint(10, (4096,))), True
        opt = optim.AdamW(m.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    loss = torch.compile(m.loss) if a.mode == "compile" else m.loss

    def step(chosen):
        opt.zero_grad()
        loss(*(part[chosen] for part in data)).backward()
        if clip:
            nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step()

    def batches():
        while True:
            yield from torch.randperm(len(data[0])).split(n)

    return step, batches(), n


def sampling():
    m = Gpt((7, 7), 128).eval()
    if a.mode == "compile":
        raise SystemExit("the loop has a shape of its own in each step")
    y = torch.randint(10, (1000,))

    def step(size):
        for part in y.split(size):
            m.sample(part)

    def sizes():
        while True:
            yield from (250, 500, 1000)

    return step, sizes(), 1000


step, work, n = sampling() if a.workload == "prior-sample" else training()
for _ in range(3):
    step(next(work))
reps, end = [], time.perf_counter() + a.seconds
while time.perf_counter() < end or len(reps) < 2:
    # Of samples one call is a repetition, so that the best size counts.
    done, began = 0, time.perf_counter()
    while done == 0 or (a.workload != "prior-sample" and time.perf_counter() - began < max(a.seconds / 3, 1.0)):
        step(next(work))
        done += n
    reps.append(done / (time.perf_counter() - began))
best = max(reps)
print(json.dumps(dict(workload=a.workload, mode=a.mode, threads=a.threads, images_per_s=round(best, 1), ms_per_step=round(1e3 * n / best, 3), reps=[round(r, 1) for r in reps], torch=torch.__version__)))
