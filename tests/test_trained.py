"""The network of a finished run, loaded: what it was when it was evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from freezeout import load_run
from freezeout.data import DATASETS, load


def folder_of(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "runs").glob("*/0")
    return folder


def test_it_gives_the_predictions_that_the_run_kept(freezeout, tmp_path, two_gpus) -> None:
    assert freezeout("strategy=freezeout", "t_0=0.3", "strategy.scale_lr=false", "epochs=2").code == 0
    network = load_run(folder_of(tmp_path))
    assert not network.training
    source = load("digits", DATASETS["digits"]())
    ((images, _),) = source.batches("test", [torch.arange(360)])
    with torch.no_grad(), np.load(folder_of(tmp_path) / "predictions.npz") as kept:
        assert np.array_equal(network(images).argmax(1).numpy(), kept["test_class"])
    names = network.network_state_dict()
    assert "stem.weight" in names
    assert names.keys() == {key.removeprefix("stages.") for key in network.chain.state_dict()}
    exported = torch.export.export(network, (images[:2],))
    torch.testing.assert_close(exported.module()(images[:2]), network(images[:2]))
    assert torch.equal(load_run(folder_of(tmp_path) / "record.json")(images[:2]), network(images[:2]))


def test_the_weights_of_a_traced_network_load_into_that_network(freezeout, tmp_path) -> None:
    from torchvision.models import resnet18

    words = ["model=torchvision", "model.network=resnet18", "strategy=baseline", "epochs=1", "batch_size=700"]
    assert freezeout(*words).code == 0
    network, original = load_run(folder_of(tmp_path)), resnet18(num_classes=10).eval()
    original.load_state_dict(network.network_state_dict())
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(original(x), network.chain(x))


def test_what_cannot_be_loaded_is_one_line(freezeout, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: no record\.json there"):
        load_run("nowhere")
    freezeout("strategy=baseline", "optimizer.lr=1e9", "epochs=1")
    with pytest.raises(ValueError, match=r"the run is failed \(the training loss became"):
        load_run(folder_of(tmp_path))
    freezeout("strategy=baseline", "epochs=1", "out=good")
    (good,) = (tmp_path / "good").glob("*/0")
    (good / "checkpoint.pt").unlink()
    with pytest.raises(ValueError, match=r"no checkpoint\.pt there"):
        load_run(good)
