"""Augmentation: what is drawn depends on seed and epoch alone, and what is cut is what a loop over images would cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from freezeout.data.augment import crop_flip, epoch_table, normalise


def one_by_one(images: Tensor, top: Tensor, left: Tensor, flip: Tensor, pad: int) -> Tensor:
    """The reference: pad, cut and mirror each image on its own."""
    b, channels, height, width = images.shape
    cut = []
    for i in range(b):
        canvas = torch.zeros(channels, height + 2 * pad, width + 2 * pad, dtype=torch.uint8)
        canvas[:, pad : pad + height, pad : pad + width] = images[i]
        window = canvas[:, top[i] : top[i] + height, left[i] : left[i] + width]
        cut.append(window.flip(-1) if flip[i] else window)
    return torch.stack(cut)


def drawn(b: int, height: int, width: int, pad: int, seed: int = 0) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(1, 256, (b, 3, height, width), generator=generator).to(torch.uint8)
    top, left = torch.randint(2 * pad + 1, (2, b), generator=generator)
    flip = torch.randint(2, (b,), generator=generator).bool()
    return images, top, left, flip, pad


def rows_equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    b=st.integers(1, 9),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    pad=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_a_batch_is_cropped_and_mirrored_as_image_by_image(b, height, width, pad, seed):
    arguments = drawn(b, height, width, pad, seed)
    cut = crop_flip(*arguments)
    assert cut.dtype == torch.uint8
    assert torch.equal(cut, one_by_one(*arguments))


def test_every_offset_and_both_mirrorings_of_a_32_pixel_image_are_right():
    offsets = torch.cartesian_prod(torch.arange(9), torch.arange(9), torch.arange(2))
    images = drawn(len(offsets), 32, 32, 4)[0]
    top, left, flip = offsets[:, 0], offsets[:, 1], offsets[:, 2].bool()
    assert torch.equal(crop_flip(images, top, left, flip, 4), one_by_one(images, top, left, flip, 4))


def test_padding_is_black_in_raw_pixels():
    images = torch.full((1, 3, 8, 8), 200, dtype=torch.uint8)
    corner = crop_flip(images, torch.tensor([0]), torch.tensor([0]), torch.tensor([False]), 1)
    assert (corner[0, :, 0] == 0).all()
    assert (corner[0, :, :, 0] == 0).all()
    assert (corner[0, :, 1:, 1:] == 200).all()


def test_the_images_handed_over_are_left_alone():
    images, *rest = drawn(5, 8, 8, 1)
    before = images.clone()
    normalise(crop_flip(images, *rest), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    assert torch.equal(images, before)


def test_each_image_of_a_batch_is_cut_in_its_own_way():
    images = drawn(1, 32, 32, 4)[0].expand(64, 3, 32, 32)
    table = epoch_table(seed=0, epoch=0, n=64, batch=64, pad=4, kind="crop_flip")
    cut = crop_flip(images, table.top[0], table.left[0], table.flip[0], 4)
    assert len(torch.unique(cut.flatten(1), dim=0)) > 40


def test_a_table_is_a_function_of_seed_and_epoch_alone():
    first = epoch_table(3, 7, 100, 10, 4, "crop_flip")
    torch.manual_seed(12345)
    state = torch.get_rng_state()
    assert rows_equal(first, epoch_table(3, 7, 100, 10, 4, "crop_flip"))
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"


@pytest.mark.parametrize(("seed", "epoch"), [(4, 7), (3, 8), (4, 6), (2, 8), (7, 3)])
def test_another_seed_or_epoch_draws_another_table(seed, epoch):
    first, other = (epoch_table(*pair, 100, 10, 4, "crop_flip") for pair in ((3, 7), (seed, epoch)))
    assert not any(torch.equal(x, y) for x, y in zip(first, other, strict=True))


def test_the_table_of_a_seed_is_pinned_so_that_old_runs_can_be_repeated():
    table = epoch_table(seed=0, epoch=0, n=10, batch=5, pad=4, kind="crop_flip")
    assert table.order.tolist() == [[4, 5, 3, 7, 8], [2, 6, 0, 1, 9]]
    assert table.top.tolist() == [[2, 8, 7, 6, 3], [0, 1, 6, 7, 7]]


def test_without_augmentation_the_order_is_the_same_and_images_are_untouched():
    augmented, plain = (epoch_table(1, 2, 64, 16, 4, kind) for kind in ("crop_flip", "none"))
    assert torch.equal(augmented.order, plain.order)
    images = drawn(16, 32, 32, 4)[0]
    for _, top, left, flip in zip(*plain, strict=True):
        assert torch.equal(crop_flip(images, top, left, flip, 4), images)


def test_an_epoch_sees_an_image_at_most_once_in_full_batches():
    table = epoch_table(0, 0, 1437, 50, 1, "crop_flip")
    assert all(column.shape == (28, 50) for column in table)
    assert [column.dtype for column in table] == [torch.int64, torch.int64, torch.int64, torch.bool]
    assert len(table.order.unique()) == 28 * 50
    assert table.order.min() >= 0
    assert table.order.max() < 1437


def test_every_offset_is_drawn_about_equally_often_and_half_are_mirrored():
    table = epoch_table(0, 0, 50_000, 50, 4, "crop_flip")
    for offsets in (table.top, table.left):
        counts = torch.bincount(offsets.flatten(), minlength=9)
        assert len(counts) == 9
        assert (counts / 50_000 - 1 / 9).abs().max() < 0.01
    assert abs(table.flip.float().mean() - 0.5) < 0.01
    assert not torch.equal(table.top, table.left)


def test_a_batch_larger_than_the_training_set_is_refused():
    with pytest.raises(ValueError, match="batch_size=2000 is larger than the training set of 1437 images"):
        epoch_table(0, 0, 1437, 2000, 1, "crop_flip")


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(ValueError, match=r"augment\.kind=mixup: must be one of crop_flip, none"):
        epoch_table(0, 0, 100, 10, 1, "mixup")


def test_normalising_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel():
    images = drawn(4, 8, 8, 1)[0]
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    expected = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    normal = normalise(images, mean, std)
    assert normal.dtype == torch.float32
    torch.testing.assert_close(normal, expected, atol=1e-5, rtol=1e-5)


def test_normalising_under_a_tracer_leaves_nothing_behind() -> None:
    """A network that is exported first and run then gives numbers."""

    class Normalised(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return normalise(x, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))

    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    exported = torch.export.export(Normalised(), (images,)).module()(images)
    assert type(Normalised()(images)) is torch.Tensor
    assert torch.equal(exported, Normalised()(images))
