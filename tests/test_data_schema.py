"""The fields of data sets: where each is loaded, what its config file says, and what is refused before loading."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from made_data import needed
from omegaconf import OmegaConf

from freezeout.data import DATASETS, load
from freezeout.data.schema import AUGMENTS, Augment, Cifar10, Cifar100, Npz

CONF = Path(__file__).parent.parent / "conf"


@pytest.mark.parametrize("name", DATASETS)
def test_sides_that_cannot_be_trained_on_are_refused_in_one_line(name):
    given = needed(DATASETS[name])
    for size, rule in ((-1, "at least 2"), (1, "at least 2"), (4097, "at most 4096"), (10**8, "at most 4096")):
        with pytest.raises(ValueError, match=rf"^dataset\.size={size}: must be {rule}$"):
            DATASETS[name](**given, size=size)
    for size in (2, 4096):
        assert DATASETS[name](**given, size=size).size == size


def test_choosing_a_data_set_imports_no_torch():
    code = "import sys, freezeout.data; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CONF.parent).returncode == 0


def test_an_unknown_data_set_is_refused_with_the_nearest_and_with_all():
    with pytest.raises(
        ValueError, match=r"^dataset=cifar: unknown; did you mean cifar10\? Available: digits, cifar10, "
    ):
        load("cifar", None)


@pytest.mark.parametrize("name", DATASETS)
def test_the_module_that_loads_a_data_set_has_its_name_but_for_the_number_behind_it(name, monkeypatch):
    asked = []
    module = {"cifar10": "cifar", "cifar100": "cifar"}.get(name, name)
    monkeypatch.setattr(f"freezeout.data.{module}.load", asked.append)
    load(name, "its fields")
    assert asked == ["its fields"]


def test_every_data_set_and_augmentation_has_a_config_file():
    assert {path.stem for path in (CONF / "dataset").glob("*.yaml")} == set(DATASETS)
    assert {path.stem for path in (CONF / "augment").glob("*.yaml")} == set(AUGMENTS)


@pytest.mark.parametrize("schema", [Cifar10, Cifar100, Npz])
class TestOfHeldOut:
    """What the sets share that hold their validation images out of the training ones."""

    def test_wrong_values_are_refused_by_the_same_rules(self, schema):
        for fields, said in (
            ({"split": "train"}, "dataset.split=train: must be one of validation, test"),
            ({"validation": 0}, "dataset.validation=0: must be at least 1"),
            ({"limit": 0}, "dataset.limit=0: must be at least 1"),
            ({"size": 1}, "dataset.size=1: must be at least 2"),
        ):
            with pytest.raises(ValueError, match=f"^{said}$"):
                schema(**needed(schema), **fields)

    def test_a_number_is_held_out_as_it_is_given(self, schema):
        fields = schema(**needed(schema), validation=49_999)
        assert fields.held_out(50_000) == 49_999
        with pytest.raises(ValueError, match=r"^dataset\.validation=49999 leaves none of 49999 training images: "):
            fields.held_out(49_999)

    def test_without_a_number_it_is_a_tenth_at_least_1_and_at_most_5000(self, schema):
        fields = schema(**needed(schema), validation=None)
        counts = {2: 1, 19: 1, 20: 2, 500: 50, 49_999: 4999, 50_000: 5000, 1_281_167: 5000}
        assert {images: fields.held_out(images) for images in counts} == counts
        with pytest.raises(ValueError, match="leaves none of 1 training images"):
            fields.held_out(1)

    def test_nothing_is_held_out_where_the_test_set_measures_each_epoch(self, schema):
        test = {"test": ["test.npz"]} if schema is Npz else {}
        assert schema(**needed(schema), **test, split="test").held_out(1) == 0


@pytest.mark.parametrize("schema", [Cifar10, Cifar100])
def test_cifar_holds_5000_images_out_and_refuses_more_than_it_has_before_it_is_downloaded(schema):
    assert schema(root="data").outline.sizes == {"train": 45_000, "validation": 5000, "test": 10_000}
    assert schema(root="data", split="test", validation=50_000).outline.sizes["train"] == 50_000
    with pytest.raises(ValueError, match=r"^dataset\.validation=50000 leaves none of 50000 training images: "):
        schema(root="data", validation=50_000)


@pytest.mark.parametrize(("schema", "classes"), [(Cifar10, 10), (Cifar100, 100)])
def test_a_limit_of_cifar_is_in_the_outline_and_is_refused_before_anything_is_downloaded(schema, classes):
    sizes = {"train": 20_000, "validation": 5000, "test": 10_000}
    assert schema(root="data", limit=20_000).outline.sizes == sizes
    assert schema(root="data", limit=20_000, split="test").outline.sizes == sizes | {"validation": 0}
    assert schema(root="data", limit=50_000, split="test").outline.sizes["train"] == 50_000
    for limit in (classes - 1, 45_001):
        rule = rf"must be from {classes} \(one per class\) to 45000 \(those left for training\); null for all"
        with pytest.raises(ValueError, match=rf"^dataset\.limit={limit}: {rule}$"):
            schema(root="data", limit=limit)


@pytest.mark.parametrize("name", DATASETS)
def test_an_outline_is_known_before_loading_where_the_fields_tell_it(name):
    outline = DATASETS[name](**needed(DATASETS[name])).outline
    assert (outline is None) == (name in ("npz", "image_folder", "python")), "that the images must be read for"
    if outline is not None:
        assert list(outline.sizes) == ["train", "validation", "test"]


FILES = [*sorted(CONF.glob("dataset/*.yaml")), CONF / "augment/crop_flip.yaml", CONF / "augment/none.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_file_gives_every_field_of_its_schema_and_opens_with_what_to_expect(path):
    group = path.parent.name
    name, schema = (path.stem, DATASETS[path.stem]) if group == "dataset" else ("augment", Augment)
    values = OmegaConf.load(path)
    assert values.pop("defaults") == [f"/schema/{group}/{name}@_here_", "_self_"]
    assert sorted(values) == sorted(f.name for f in dataclasses.fields(schema))
    given = needed(schema)  # what has no default is the user's to give, or the data folder
    composed = OmegaConf.create({"data_dir": "data", "chosen": OmegaConf.structured(schema)})
    composed.chosen = OmegaConf.merge(
        composed.chosen, values, {key: given[key] for key in given if OmegaConf.is_missing(values, key)}
    )
    if path.stem == "none":
        given["kind"] = "none"
    assert OmegaConf.to_object(composed)["chosen"] == schema(**given), "a value differs from the schema's default"
    assert path.read_text().startswith("# ")
