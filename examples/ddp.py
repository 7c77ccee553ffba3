"""FreezeOut on several processes: torchrun --standalone --nproc-per-node 2 examples/ddp.py

`freezer.distribute(model)` replaces DistributedDataParallel(model). The script prints the bytes of gradients that a
rank sends in a step; they fall with each stage that freezes.
"""

import torch
from torch import distributed, nn

from freezeout import Chain, FreezeOut
from freezeout.strategies import FreezeOut as Schedule

STEPS = 20


def count(sent: list[int], bucket: distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
    sent[0] += bucket.buffer().nbytes
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0] / distributed.get_world_size())


distributed.init_process_group("gloo")  # with GPUs: "nccl", and the model on the rank's own GPU
rank, world = distributed.get_rank(), distributed.get_world_size()
torch.set_num_threads(1)
torch.manual_seed(0)
blocks = {f"block{i}": nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU()) for i in range(4)}
model = Chain({**blocks, "head": nn.Linear(32, 4)})
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
freezer = FreezeOut(model, optimizer, Schedule(t_0=0.4, how_scale="linear"), total_steps=STEPS)
network = freezer.distribute(model)
sent = [0]
network.register_comm_hook(sent, count)
for step in range(STEPS):
    network.train()
    freezer.step()
    x = torch.randn(8 * world, 32, generator=torch.Generator().manual_seed(step))[8 * rank : 8 * rank + 8]
    nn.functional.cross_entropy(network(x), x.argmax(1) % 4).backward()
    optimizer.step()
    optimizer.zero_grad()
    if rank == 0 and (step + 1) % 4 == 0:
        print(f"step {step + 1}: {freezer.prefix} of {len(model)} stages frozen, {sent[0]} bytes sent", flush=True)
    sent[0] = 0
distributed.destroy_process_group()
