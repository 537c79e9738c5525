"""Reads a folder of event files with TensorBoard's own reader and prints what it found as JSON.

    python3 tensorboard_readback.py FOLDER

    {"scalars": {TAG: [[step, value], ...]}, "images": {TAG: [[step, width, height, bytes], ...]}}

Started by the test beside `run/tensorboard.rs`; needs the package `tensorboard`, and no TensorFlow.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator


def read(folder):
    everything = {SCALARS: 0, IMAGES: 0}  # 0 keeps all events instead of a sample of them
    events = EventAccumulator(folder, size_guidance=everything)
    events.Reload()
    tags = events.Tags()
    return {
        "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags[SCALARS]},
        "images": {
            tag: [[e.step, e.width, e.height, len(e.encoded_image_string)] for e in events.Images(tag)]
            for tag in tags[IMAGES]
        },
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(json.dumps(read(sys.argv[1])))
