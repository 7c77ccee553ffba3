"""Packed records: a bit for each image comes back as it was, and a damaged file is never half read."""

from __future__ import annotations

import base64
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import find_records

from freezeout import packed

RECORD = {"schema_version": 1, "run_id": "ab-0", "seed": 0, "status": "done"}


@given(st.lists(st.booleans(), max_size=50))
def test_bits_come_back_as_they_were(bits) -> None:
    record = {"correct": {"test": packed.pack_bits(bits)}, "data": {"test": len(bits)}}
    assert packed.correct_images(record, "test") == bits
    assert packed.correct_images(record, "validation") is None
    assert packed.correct_images({}, "test") is None


def test_the_first_image_is_the_highest_bit_as_numpy_packs() -> None:
    bits = [True, False, False, True, True, False, True, False, False, True]
    assert base64.b64decode(packed.pack_bits(bits)) == np.packbits(bits).tobytes()


def test_ten_thousand_images_take_less_than_two_kilobytes() -> None:
    assert len(packed.pack_bits([True] * 10_000)) < 1_700


def test_the_bits_of_a_run_are_its_errors(freezeout, tmp_path) -> None:
    assert freezeout("strategy=baseline", "epochs=1").code == 0
    ((folder, record),) = find_records(tmp_path / "runs")
    right = packed.correct_images(record, "test")
    assert len(right) == record["data"]["test"] == 360
    assert 100 * (1 - sum(right) / len(right)) == pytest.approx(record["test_error"])
    with np.load(folder / "predictions.npz") as predictions:
        sure = predictions["test_probability"] > 0.51
        assert sure.any()
        assert np.array(right)[sure].all(), "the order is the split's"
        assert not np.array(right)[predictions["test_probability"] < 0.09].any()


def test_records_are_read_as_they_were_written(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    assert packed.read(path) == []
    packed.write(path, [RECORD | {"error": math.nan}, RECORD | {"run_id": "ab-1", "seed": 1}])
    assert packed.read(path) == [RECORD | {"error": None}, RECORD | {"run_id": "ab-1", "seed": 1}]


@pytest.mark.parametrize("change", [{"run_id": "ab-1"}, {"run_id": None}, {"status": None}, {"schema_version": "1"}])
def test_what_is_no_record_is_named_by_its_line(tmp_path, change) -> None:
    packed.write(tmp_path / "a.jsonl", [RECORD, RECORD | change])
    with pytest.raises(ValueError, match=r"a\.jsonl: line 2 is malformed; restore the file"):
        packed.read(tmp_path / "a.jsonl")


def test_a_record_of_a_newer_version_is_refused(tmp_path) -> None:
    packed.write(tmp_path / "a.jsonl", [RECORD | {"schema_version": 99}])
    with pytest.raises(ValueError, match="line 1 is of schema version 99"):
        packed.read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("damage", "words"),
    [(lambda text: text[:-9], "last line is cut off"), (lambda text: "{\n" + text, "line 1 is malformed")],
)
def test_a_damaged_file_is_not_half_read(tmp_path, damage, words) -> None:
    path = tmp_path / "a.jsonl"
    packed.write(path, [RECORD])
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=words):
        packed.read(path)
