#!/usr/bin/env python3
"""The tutorial as people run it: PyTorch's example VAE (784-400-20) on MNIST with torchvision's ToTensor and a DataLoader,
batch 128, Adam 1e-3, 10 epochs, the test set after each. Prints {"seconds_training", "test"} as JSON.

  tutorial_torch.py MNIST_FOLDER [EPOCHS]
"""
import gzip, json, sys, time
import numpy as np
import torch
from PIL import Image
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

FOLDER, EPOCHS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
torch.manual_seed(1)


class Digits(Dataset):
    """What torchvision.datasets.MNIST does with each item."""

    def __init__(self, name):
        raw = gzip.open(f"{FOLDER}/{name}-images-idx3-ubyte.gz").read()
        self.images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
        self.transform = transforms.ToTensor()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index], mode="L"))


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def loss_function(recon, x, mu, logvar):
    bce = F.binary_cross_entropy(recon, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


started = time.perf_counter()
train = DataLoader(Digits("train"), batch_size=128, shuffle=True)
test = DataLoader(Digits("t10k"), batch_size=128, shuffle=False)
model = VAE()
optimizer = optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(EPOCHS):
    model.train()
    for x in train:
        optimizer.zero_grad()
        recon, mu, logvar = model(x)
        loss = loss_function(recon, x, mu, logvar)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        total = 0.0
        for x in test:
            recon, mu, logvar = model(x)
            total += loss_function(recon, x, mu, logvar).item()
print(json.dumps({"seconds_training": round(time.perf_counter() - started, 2), "test": round(total / 10_000, 2)}))
