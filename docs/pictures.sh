#!/usr/bin/env bash
# Makes the README's pictures anew, from one run on generated digits.
#
#   docs/pictures.sh [ELBO]      ELBO is the command [default: target/release/elbo]
#
# Training takes two and a half minutes of processor time. The screenshots are made elsewhere: of the explorer by e2e/test.mjs, of the report by hand
# (CONTRIBUTING.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
elbo=$(realpath "${1:-target/release/elbo}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$elbo" train --set model.latent=2 --epochs 25 --out "$work/run"
"$elbo" interpolate "$work/run" --seed 1 --steps 21 --columns 8 --out docs/walk.gif
"$elbo" grid "$work/run" --spacing quantiles --size 20 --out docs/manifold.png
cp "$work/run/plots/latent.png" docs/latent.png
