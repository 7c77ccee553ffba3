"""One of two ranks, as a process of its own: trains in several ways and leaves what it saw in a file.

python ranks.py RANK FOLDER; test_distributed.py starts two.
"""

import copy
import sys
from itertools import pairwise
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from freezeout import Chain, FreezeOut
from freezeout.adaptive import AutoFreeze, WeightDelta
from freezeout.strategies import FreezeOut as Strategy

STEPS = 12
ADAPTIVE = {"autofreeze": AutoFreeze(intervals=6), "weight_delta": WeightDelta(intervals=6, threshold=0.05)}
STRATEGY = Strategy(t_0=0.25, how_scale="linear", scale_lr=True)


def network(norm) -> Chain:
    torch.manual_seed(0)
    widths = [3, 4, 4, 4]
    blocks = {
        f"block{i}": nn.Sequential(nn.Conv2d(a, b, 3, padding=1), norm(b), nn.ReLU())
        for i, (a, b) in enumerate(pairwise(widths))
    }
    return Chain({**blocks, "head": nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 5))}).double()


def group_norm(width: int) -> nn.Module:
    return nn.GroupNorm(2, width)


def build(norm=group_norm, steps=STEPS, strategy=STRATEGY, sharded=False):
    chain = network(norm)
    if sharded:
        shard(chain)
    optimizer = torch.optim.AdamW(chain.parameters(), lr=0.01)
    return chain, optimizer, FreezeOut(chain, optimizer, strategy, steps)


def batch(step: int) -> torch.Tensor:
    return torch.randn(8, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))


def train(net, optimizer, freezer, steps=range(STEPS), part=slice(None), after=lambda: None, parts=1) -> None:
    for step in steps:
        freezer.step()
        net.train()
        freezer.set_modes()
        x = batch(step)[part]
        for piece in x.chunk(parts)[:-1]:
            with net.no_sync():
                (net(piece).square().mean() / parts).backward()
        (net(x.chunk(parts)[-1]).square().mean() / parts).backward()
        optimizer.step()
        optimizer.zero_grad()
        after()


def counting(state: list[int], bucket) -> torch.futures.Future[torch.Tensor]:
    """A hook of DistributedDataParallel: averages as ever, and adds the bytes sent to the last of the numbers."""
    state[-1] += bucket.buffer().numel() * bucket.buffer().element_size()
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0] / distributed.get_world_size())


def weights(chain: nn.Module) -> list[torch.Tensor]:
    return [t.clone() for t in chain.state_dict().values()]


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    half = slice(4 * rank, 4 * rank + 4)
    seen: dict = {}

    chain, optimizer, freezer = build()
    net = freezer.distribute(chain)
    sent = [0]
    net.register_comm_hook(sent, counting)
    train(net, optimizer, freezer, part=half, after=lambda: sent.append(0))
    seen["group_norm"], seen["bytes"] = weights(chain), sent[:-1]
    seen["parameters"] = [sum(p.numel() for p in stage.parameters()) for stage in chain]
    seen["names"] = list(net.state_dict())

    chain, optimizer, freezer = build(nn.BatchNorm2d)
    train(freezer.distribute(chain), optimizer, freezer, part=half)
    seen["batch_norm"] = weights(chain)

    chain, optimizer, freezer = build()
    train(freezer.distribute(chain), optimizer, freezer, range(7), half)
    saved = copy.deepcopy([part.state_dict() for part in (chain, optimizer, freezer)])
    for order in ((0, 1, 2), (2, 1, 0)):
        again = build()
        net = again[2].distribute(again[0]) if order[0] else None
        for i in order:
            again[i].load_state_dict(copy.deepcopy(saved[i]))  # torch's optimizers keep what they are given
        net = net or again[2].distribute(again[0])
        train(net, *again[1:], range(7, STEPS), half)
        seen[f"resumed{order}"] = weights(again[0])

    chain, optimizer, freezer = build()
    train(freezer.distribute(chain), optimizer, freezer, part=half, parts=2)
    seen["accumulated"] = weights(chain)

    chain, optimizer, freezer = build(sharded=True)
    train(chain, optimizer, freezer, part=half)
    seen["sharded"] = [t.full_tensor() for t in chain.state_dict().values()]

    for name, strategy in ADAPTIVE.items():
        chain, optimizer, freezer = build(strategy=strategy)
        train(freezer.distribute(chain), optimizer, freezer, part=half)
        seen[name] = freezer.times, weights(chain)
        chain, optimizer, freezer = build(strategy=strategy, sharded=True)
        train(chain, optimizer, freezer, part=half)
        seen[f"{name}, sharded"] = freezer.times, [t.full_tensor() for t in chain.state_dict().values()]

    try:
        build(steps=STEPS + rank)[2].distribute(chain)
    except ValueError as error:
        seen["different"] = str(error)

    chain, optimizer, freezer = build()
    try:
        train(DistributedDataParallel(chain), optimizer, freezer, part=half)
    except RuntimeError as error:
        seen["plain"] = str(error)
    torch.save(seen, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def shard(chain: Chain) -> None:
    for stage in chain:
        fully_shard(stage)
    fully_shard(chain)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
