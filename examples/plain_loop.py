"""FreezeOut in a plain training loop, in three lines: python examples/plain_loop.py

Uses synthetic images and takes a minute at most on a CPU. Prints the median step time at each number of frozen stages.
"""

import time
from statistics import median

import torch
import torchvision

from freezeout import FreezeOut, find_stages
from freezeout.strategies import FreezeOut as Schedule

STEPS = 60

torch.manual_seed(0)
images, labels = torch.randn(256, 3, 32, 32), torch.randint(10, (256,))
model = find_stages(torchvision.models.resnet18(num_classes=10), images[:1])  # line 1: the network as a chain of stages
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
freezer = FreezeOut(model, optimizer, Schedule(t_0=0.5), total_steps=STEPS)  # line 2

seconds: dict[int, list[float]] = {}
for _ in range(STEPS):
    started = time.perf_counter()
    batch = torch.randint(256, (8,))
    model.train()
    freezer.step()  # line 3: sets the rates, and freezes stages that are due
    loss = torch.nn.functional.cross_entropy(freezer.forward(images[batch]), labels[batch])  # or model(images[batch])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds.setdefault(freezer.prefix, []).append(time.perf_counter() - started)

print(f"{freezer.prefix} of {len(model)} stages are frozen")
for prefix, times in seconds.items():
    print(f"{prefix} frozen: {1000 * median(times):.0f} ms a step over {len(times)} steps")
