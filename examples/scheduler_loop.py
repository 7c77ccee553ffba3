"""FreezeOut with a scheduler, mixed precision, clipping and a checkpoint: python examples/scheduler_loop.py

FreezeOnly freezes at the paper's times, and with rates="scale" active stages have exactly the scheduler's rate. The run
is stopped part-way, loaded into new objects, and ends with bitwise the weights of a run that was never stopped.
"""

import io

import torch
from torch import nn

from freezeout import Chain, FreezeOut
from freezeout.strategies import FreezeOnly

STEPS = 40


class Loop:
    """Everything that a run consists of, and its checkpoint."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        blocks = {f"block{i}": nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU()) for i in range(4)}
        self.model = Chain({**blocks, "head": nn.Linear(16, 3)})
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=0.02, total_steps=STEPS + 1)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
        self.freezer = FreezeOut(self.model, self.optimizer, FreezeOnly(t_0=0.8), STEPS, rates="scale")
        self.parts = (self.model, self.optimizer, self.scheduler, self.scaler, self.freezer)

    def train(self, steps: range) -> None:
        for step in steps:
            self.model.train()
            self.freezer.step()
            x = torch.randn(32, 16, generator=torch.Generator().manual_seed(step))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(self.model(x).float(), x.argmax(1) % 3)
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
            self.scheduler.step()
            if step % 10 == 9:
                rate = self.scheduler.get_last_lr()[0]
                print(f"step {step + 1}: {self.freezer.prefix} frozen, rate {rate:.4f}, loss {loss.item():.3f}")


through = Loop()
through.train(range(STEPS))
first = Loop()
first.train(range(STEPS * 3 // 5))
file = io.BytesIO()
torch.save([part.state_dict() for part in first.parts], file)
file.seek(0)
again = Loop()
for part, state in zip(again.parts, torch.load(file), strict=True):  # in any order
    part.load_state_dict(state)
again.train(range(STEPS * 3 // 5, STEPS))
same = all(torch.equal(a, b) for a, b in zip(again.model.parameters(), through.model.parameters(), strict=True))
print(f"resumed: {'bitwise the run that was never stopped' if same else 'another run'}")
