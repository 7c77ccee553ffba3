"""Images of another size: means over areas where they shrink, torchvision's bilinear where they grow."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from made_data import pictures, source
from torchvision.transforms.v2 import functional

from freezeout.data.resize import resize


def images(height: int, width: int, n: int = 3) -> torch.Tensor:
    return torch.from_numpy(pictures(n, side=max(height, width))[0]).permute(0, 3, 1, 2)[..., :height, :width]


def test_a_pixel_is_the_mean_of_the_area_that_it_covers_with_halves_rounded_up():
    row = torch.tensor([[10, 11, 0, 0], [12, 12, 0, 2], [255, 255, 7, 7], [255, 255, 7, 8]])
    halved = resize(row.expand(1, 3, 4, 4).to(torch.uint8), 2)
    # 45 / 4 = 11.25, 2 / 4 = 0.5, 255, 29 / 4 = 7.25
    assert halved[0].tolist() == [[[11, 1], [255, 7]]] * 3


def test_a_pixel_on_an_edge_counts_by_its_share_on_either_side():
    square = torch.tensor([[0, 30, 60], [0, 30, 60], [90, 90, 90]]).expand(1, 3, 3, 3).to(torch.uint8)
    # Rows and columns of 3 become 2 with weights 2/3 and 1/3: (10, 50) above, (60 + 10/3, 60 + 50/3) below.
    assert resize(square, 2)[0, 0].tolist() == [[10, 50], [63, 77]]


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 16), (32, 32, 12), (9, 12, 5), (7, 7, 2), (16, 32, 16)])
def test_every_pixel_is_that_of_exact_fractions(height, width, size):
    x = images(height, width)[:1]
    found = resize(x, size)

    def shares(pixels: int, i: int) -> list[Fraction]:
        ends = Fraction(i * pixels, size), Fraction((i + 1) * pixels, size)
        return [max(Fraction(0), min(ends[1], Fraction(j + 1)) - max(ends[0], Fraction(j))) for j in range(pixels)]

    for i in range(size):
        for j in range(size):
            down, across = shares(height, i), shares(width, j)
            total = sum(
                down[k] * across[m] * x[0, 1, k, m].item() for k in range(height) if down[k] for m in range(width)
            )
            assert found[0, 1, i, j].item() == int(total / (sum(down) * sum(across)) + Fraction(1, 2))


def test_a_constant_image_stays_what_it_is():
    assert resize(torch.full((2, 3, 31, 17), 255, dtype=torch.uint8), 16).unique().tolist() == [255]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 20), (32, 32)])
def test_images_that_do_not_shrink_are_resized_as_torchvision_resizes_them(height, width):
    x = images(height, width)
    assert torch.equal(resize(x, 32), functional.resize(x, [32, 32], antialias=True))


def test_an_image_that_is_too_long_and_too_low_is_shrunk_and_then_enlarged():
    x = images(8, 32)
    narrow = (x.view(3, 3, 8, 16, 2).sum(-1) + 1) // 2
    assert torch.equal(resize(x, 16), functional.resize(narrow.to(torch.uint8), [16, 16], antialias=True))


def test_the_smallest_side_can_be_resized_to():
    assert source("digits", size=2).tensors["train"][0].shape == (1437, 3, 2, 2)
