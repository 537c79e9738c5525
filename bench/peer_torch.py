#!/usr/bin/env python3
"""PyTorch side of the side-by-side benchmark: one workload, one mode, JSON on stdout.

  peer_torch.py WORKLOAD [--mode eager|compile|bf16|loader] [--data DIR] [--seconds S]

Workloads (float32 unless --mode bf16; Adam 1e-3; BCE on logits + KL, summed per sample, mean over the batch):
  mlp      MNIST 784-400-20-400-784, ReLU, batch 128; one unit = one image of a training epoch, shuffling included
  mlp512   the same at batch 512
  conv-s   1x32x32, 4x4 stride-2 convs 32-64-128 + batch norm + ReLU, mirrored transposed convs, 16 latents, batch 128
  conv-m   the same with 128-256-512
  encode   the mlp encoder, inference, batch 512;  decode: its decoder from 20 latents, batch 512
Modes: eager is in-memory tensors with fused Adam; loader is the tutorials' DataLoader + ToTensor.
Prints {"workload","mode","threads","images_per_s","ms_per_step","reps"}; images_per_s is the best rep, reps lists them all.
"""
import argparse, gzip, json, os, time
import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F

ap = argparse.ArgumentParser()
ap.add_argument("workload", choices=["mlp", "mlp512", "conv-s", "conv-m", "encode", "decode"])
ap.add_argument("--mode", default="eager", choices=["eager", "compile", "bf16", "loader"])
ap.add_argument("--data", default=os.path.join(os.environ.get("ELBO_DATA", "."), "mnist"))
ap.add_argument("--seconds", type=float, default=8.0)
ap.add_argument("--threads", type=int, default=os.cpu_count())
a = ap.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)


def mnist():
    b = gzip.open(os.path.join(a.data, "train-images-idx3-ubyte.gz")).read()
    return torch.from_numpy(np.frombuffer(b, np.uint8, offset=16).reshape(-1, 784).copy())


class Mlp(nn.Module):
    def __init__(s, i=784, h=400, z=20):
        super().__init__()
        s.fc1, s.mu, s.lv, s.fc3, s.fc4 = nn.Linear(i, h), nn.Linear(h, z), nn.Linear(h, z), nn.Linear(z, h), nn.Linear(h, i)

    def encode(s, x):
        h = torch.relu(s.fc1(x))
        return s.mu(h), s.lv(h)

    def decode(s, z):
        return s.fc4(torch.relu(s.fc3(z)))


class Conv(nn.Module):
    def __init__(s, chs, z=16, size=32):
        super().__init__()
        enc, c = [], 1
        for o in chs:
            enc += [nn.Conv2d(c, o, 4, 2, 1), nn.BatchNorm2d(o), nn.ReLU()]
            c = o
        sp = size >> len(chs)
        s.shape = (c, sp, sp)
        s.enc = nn.Sequential(*enc)
        s.mu, s.lv, s.fc = nn.Linear(c * sp * sp, z), nn.Linear(c * sp * sp, z), nn.Linear(z, c * sp * sp)
        dec, rev = [], list(chs[::-1])
        for i, o in zip(rev[:-1], rev[1:]):
            dec += [nn.ConvTranspose2d(i, o, 4, 2, 1), nn.BatchNorm2d(o), nn.ReLU()]
        s.dec = nn.Sequential(*dec, nn.ConvTranspose2d(rev[-1], 1, 4, 2, 1))

    def encode(s, x):
        h = s.enc(x).flatten(1)
        return s.mu(h), s.lv(h)

    def decode(s, z):
        return s.dec(s.fc(z).view(-1, *s.shape))


def loss_of(m, x):
    mu, lv = m.encode(x)
    l = m.decode(mu + torch.randn_like(mu) * torch.exp(0.5 * lv))
    bce = F.binary_cross_entropy_with_logits(l.float(), x, reduction="sum")
    return (bce - 0.5 * torch.sum(1 + lv.float() - mu.float().pow(2) - lv.float().exp())) / len(x)


conv = a.workload.startswith("conv")
B = {"mlp": 128, "mlp512": 512, "conv-s": 128, "conv-m": 128, "encode": 512, "decode": 512}[a.workload]
m = Conv((32, 64, 128) if a.workload == "conv-s" else (128, 256, 512)) if conv else Mlp()
opt = optim.Adam(m.parameters(), lr=1e-3, fused=a.mode != "loader")
X = torch.rand(1024, 1, 32, 32) if conv else mnist()


def work(x):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.mode == "bf16"):
        return loss_of(m, x)


if a.mode == "compile":
    work = torch.compile(work)


def train_step(x):
    opt.zero_grad()
    work(x).backward()
    opt.step()


def batches():
    if a.mode == "loader":
        from PIL import Image
        from torchvision import transforms
        from torch.utils.data import DataLoader, Dataset

        class D(Dataset):
            t = transforms.ToTensor()

            def __len__(s):
                return len(X)

            def __getitem__(s, i):
                return s.t(Image.fromarray(X[i].numpy().reshape(28, 28), mode="L"))

        for im in DataLoader(D(), batch_size=B, shuffle=True):
            yield im.view(-1, 784)
    else:
        p = torch.randperm(len(X))
        for i in range(0, len(X) - B + 1, B):
            x = X[p[i : i + B]]
            yield x.float() / 255 if x.dtype == torch.uint8 else x


def infer_step(x):
    with torch.no_grad():
        m.encode(x) if a.workload == "encode" else m.decode(x)


step = infer_step if a.workload in ("encode", "decode") else train_step
if a.workload == "decode":
    X = torch.randn(60000, 20)
warm = batches()
for _, x in zip(range(4), warm):
    step(x)
reps, t_end = [], time.perf_counter() + a.seconds
while time.perf_counter() < t_end or len(reps) < 2:
    n, t = 0, time.perf_counter()
    for x in batches():
        step(x)
        n += len(x)
        if time.perf_counter() - t > max(a.seconds / 3, 1.0):
            break
    reps.append(n / (time.perf_counter() - t))
best = max(reps)
print(json.dumps(dict(workload=a.workload, mode=a.mode, threads=a.threads, images_per_s=round(best, 1), ms_per_step=round(1e3 * B / best, 3), reps=[round(r, 1) for r in reps], torch=torch.__version__)))
