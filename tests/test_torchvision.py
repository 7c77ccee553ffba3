"""Networks of torchvision and timm by name: every one composes, and they train and freeze as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from launched import only_run
from PIL import Image
from torchvision import models

from benchmarks.ceiling import OnlyWeights
from freezeout import records
from freezeout.run.overrides import compose_all

SIDE = {"inception_v3": 128}  # the smallest images that the network's pooling leaves anything of
WORDS = ["dataset=image_folder", "dataset.root=images", "dataset.workers=0", "batch_size=4", "epochs=2"]
WORDS += ["strategy=freezeout", "strategy.how_scale=linear", "strategy.scale_lr=false", "t_0=0.25", "optimizer.lr=0.01"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Sixteen pictures of two classes, and four to evaluate on."""
    random = np.random.RandomState(0)
    for split, n in (("train", 8), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = random.randint(256, size=(64, 64, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / name / f"{i}.png")
    return tmp_path


def assert_trains(freezeout, folder: Path, package: str, network: str, side: int) -> None:
    """It trains to the end on a folder of images, and its stages freeze in running order."""
    words = [f"model={package}", f"model.network={network}", f"dataset.size={side}", f"out={folder}/runs"]
    said = freezeout(*WORDS, *words)
    assert said.code == 0, said.err
    record = records.read_record(only_run(folder / "runs"))
    assert record["status"] == "done"
    assert record["steps"] == 8
    assert not record["diverged"]
    steps = [8 if step is None else step for step in record["freeze_steps"]]
    assert len(steps) > 5
    assert (steps[0], steps[-1]) == (2, 8)
    assert steps == sorted(steps)
    frozen = [block["prefix"] for block in record["prefixes"]]
    assert frozen == sorted(frozen)
    assert frozen[-1] == sum(step < 8 for step in steps) > 2
    assert record["saving"]["predicted"] > 0.1


def test_a_network_trains_on_a_folder_of_images_and_freezes_in_running_order(freezeout, images):
    assert_trains(freezeout, images, "timm", "lcnet_035", 32)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("network", ["resnet50", "convnext_tiny", "vit_b_16", "efficientnet_b0"])
def test_so_do_the_well_known_ones(freezeout, images, network):
    assert_trains(freezeout, images, "torchvision", network, 32)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", models.list_models(module=models))
def test_every_network_composes_and_runs_stage_by_stage(name):
    from freezeout.run.resolve import make_plan

    words = [f"model=torchvision model.network={name}", f"dataset=synthetic dataset.size={SIDE.get(name, 96)}"]
    sizes = ["dataset.train=8", "dataset.test=4", "batch_size=4", "machine=cpu", "epochs=2"]
    if name.startswith(("vit_", "maxvit")):
        words = [w.replace("size=96", "size=224") for w in words]
    (config,) = compose_all([*" ".join(words).split(), *sizes])
    with OnlyWeights() if name.startswith("regnet_") else torch.device("meta"):
        plan = make_plan(config)
    assert plan.stages >= 5
    assert plan.costs is not None, "it runs as a whole"
    free = 2 if name.startswith("vit_") else 0  # a class token and positions, which are added
    assert [cost.forward > 0 for cost in plan.costs].count(False) == free
