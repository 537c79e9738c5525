"""The peer of `elbo serve`: a minimal FastAPI server that decodes with PyTorch, as people write it.

    uvicorn peer_fastapi:app --port PORT      with WEIGHTS=RUN/checkpoints/last/model.safetensors

One process with two threads for PyTorch, as elbo has two cores. The same interface: POST /decode with {"z": [[...]]}, bytes come back.
"""

import os

import torch
from fastapi import FastAPI, Response
from pydantic import BaseModel
from safetensors.torch import load_file

torch.set_num_threads(2)
weights = {name: tensor for name, tensor in load_file(os.environ["WEIGHTS"]).items() if name.startswith("decoder.layers.")}
count = 1 + max(int(name.split(".")[2]) for name in weights)
layers = []
for index in range(count):
    weight = weights[f"decoder.layers.{index}.weight"]
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": weights[f"decoder.layers.{index}.bias"]})
    layers += [layer, torch.nn.ReLU() if index + 1 < count else torch.nn.Sigmoid()]
decoder = torch.nn.Sequential(*layers).eval()
app = FastAPI()


class Codes(BaseModel):
    z: list[list[float]]


@app.post("/decode")
def decode(codes: Codes) -> Response:
    with torch.inference_mode():
        images = decoder(torch.tensor(codes.z))
    return Response((images * 255).round().to(torch.uint8).numpy().tobytes(), media_type="application/octet-stream")
