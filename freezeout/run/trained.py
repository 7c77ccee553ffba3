"""The network that a run trained, ready to use: normalisation, weights and mode as they were evaluated."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from freezeout.data.augment import normalise
from freezeout.data.schema import Outline
from freezeout.models import MODELS
from freezeout.records import read_record
from freezeout.run.plan import build_model
from freezeout.stages.chain import Chain
from freezeout.train import checkpoint


class TrainedNetwork(nn.Module):
    """A trained network in evaluation mode, with the normalisation of the data that it was trained on.

    Attributes:
        chain: The network itself, for already normalised images.
        mean, std: Per channel, of the training images with pixels in [0, 1].
    """

    def __init__(self, chain: Chain, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.chain, self.mean, self.std = chain, mean, std

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of uint8 images (batch, 3, height, width), of the size it was trained on."""
        return self.chain(normalise(images, self.mean, self.std))

    def network_state_dict(self) -> dict[str, Tensor]:
        """The weights under the names of the run's original network; see `Chain.network_state_dict`."""
        return self.chain.network_state_dict()


def load_run(folder: str | Path, device: str | torch.device = "cpu") -> TrainedNetwork:
    """The network of a run, from its record and its last checkpoint.

    The network is rebuilt from the record's configuration, so that only tensors are read from the checkpoint. A user's
    own network (model=python) is imported relative to the working directory.

    Args:
        folder: The run's folder, `runs/NAME/SEED`, or the record.json in it.
        device: Where its tensors go.

    Raises:
        ValueError: In one line: there is no finished run, its checkpoint is missing or damaged, or its record is of a
            version that did not keep the normalisation.
    """
    folder = Path(folder)
    folder = folder.parent if folder.name == "record.json" else folder
    record = read_record(folder)
    if record is None:
        raise ValueError(f"{folder}: no record.json there; a run's folder is runs/NAME/SEED")
    if record["status"] != "done":
        raise ValueError(f"{folder}: the run is {record['status']} ({record['reason']}): finish it first")
    data = record["data"]
    if "mean" not in data:
        raise ValueError(f"{folder}: its record does not say how images were normalised: train it again")
    state = checkpoint.load(folder / "checkpoint.pt", record["run_id"], torch.device(device))
    if state is None:
        raise ValueError(f"{folder}: no checkpoint.pt there; without it the weights are gone")
    section = dict(record["config"]["model"])
    name = section.pop("name")
    height, width = data["image"]
    outline = Outline(data["classes"], (height, width), {})
    with torch.random.fork_rng(devices=[]):
        chain = build_model(name, MODELS[name](**section), outline)
    chain.load_state_dict(state["model"])
    network = TrainedNetwork(chain, tuple(data["mean"]), tuple(data["std"]))
    return network.to(device).eval()
