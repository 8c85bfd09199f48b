"""The edits that steering imitates: what each does to an image, and the mask of pixels from outside the image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from copgen.views.edit_ranges import EditRanges
from copgen.views.edits import EditDraw, draw_edits, edit, names, sliders

RANGES = EditRanges()


def still(n: int = 1, channels: int = 3) -> EditDraw:
    """No edit."""
    zero = torch.zeros(n, dtype=torch.float64)
    return EditDraw(zero, zero, zero + 1, zero, zero, torch.zeros(n, channels, dtype=torch.float64))


def of(value: float, n: int = 1) -> Tensor:
    return torch.full((n,), value, dtype=torch.float64)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double() * 2 - 1


def test_no_edit_changes_nothing(images: Tensor) -> None:
    edited, mask = edit(images, still())
    torch.testing.assert_close(edited, images)
    assert bool(mask.all())


@pytest.mark.parametrize(("across", "down"), [(4, 0), (0, -3), (2, 5)])
def test_a_shift_by_whole_pixels_moves_them(images: Tensor, across: int, down: int) -> None:
    edited, mask = edit(images, replace(still(), shift_x=of(across / 16), shift_y=of(down / 16)))
    rolled = torch.roll(images, (down, across), (2, 3))
    valid = torch.roll(torch.ones(1, 1, 16, 16), (down, across), (2, 3)).bool()
    valid[:, :, : max(down, 0)] = False
    valid[:, :, 16 + min(down, 0) :] = False
    valid[:, :, :, : max(across, 0)] = False
    assert torch.equal(mask, valid)
    torch.testing.assert_close(edited * mask, rolled * valid)


def test_a_quarter_turn_is_counter_clockwise(images: Tensor) -> None:
    edited, mask = edit(images, replace(still(), rotation_2d=of(90.0)))
    torch.testing.assert_close(edited, torch.rot90(images, 1, (2, 3)))
    assert bool(mask.all())


def test_a_small_window_magnifies_and_a_large_one_shows_what_is_outside() -> None:
    ramp = torch.linspace(-1, 1, 16, dtype=torch.float64).expand(1, 1, 16, 16)
    near, all_of_it = edit(ramp, replace(still(channels=1), zoom=of(0.5)))
    assert bool(all_of_it.all())
    torch.testing.assert_close(near[..., 2:-2], 0.5 * ramp[..., 2:-2], atol=1e-6, rtol=0)
    far, mask = edit(ramp, replace(still(channels=1), zoom=of(2.0)))
    assert int(mask.sum()) == 8 * 8
    assert bool(mask[0, 0, 4:12, 4:12].all())
    torch.testing.assert_close(far[..., 4:12, 5:11], 2.0 * ramp[..., 4:12, 5:11], atol=1e-6, rtol=0)


def test_turning_in_space_takes_one_edge_away_and_mirrors_with_the_sign() -> None:
    line = torch.full((1, 1, 32, 32), -1.0, dtype=torch.float64)
    line[..., 12:20, :] = 1.0
    right, mask = edit(line, replace(still(channels=1), rotation_3d=of(40.0)))
    thick = ((right > 0) & mask)[0, 0].sum(0)
    seen = thick.nonzero()[:, 0]
    assert int(thick[seen[0]]) > int(thick[seen[-1]])
    assert int(seen[-1] - seen[0]) + 1 < 32
    left, other = edit(line, replace(still(channels=1), rotation_3d=of(-40.0)))
    assert torch.equal(mask.flip(3), other)
    torch.testing.assert_close(left.flip(3) * mask, right * mask)


def test_colour_is_added_to_each_channel(images: Tensor) -> None:
    shift = torch.tensor([[0.5, 0.0, -0.25]], dtype=torch.float64)
    edited, mask = edit(images, replace(still(), colour=shift))
    torch.testing.assert_close(edited, images + shift[:, :, None, None])
    assert bool(mask.all())


def test_a_row_does_not_depend_on_the_batch() -> None:
    whole = draw_edits(RANGES, channels=3, seed=1, rows=range(40), stream="a")
    part = draw_edits(RANGES, channels=3, seed=1, rows=[7, 30], stream="a")
    for name, value in vars(part).items():
        assert torch.equal(value, getattr(whole, name)[[7, 30]]), name
    other = draw_edits(RANGES, channels=3, seed=1, rows=range(40), stream="b")
    assert not torch.equal(other.zoom, whole.zoom)


def test_the_draws_are_genreps() -> None:
    """13 angles of each rotation, 21 shifts, zooms from 1/4 to 4 of which half magnify, colours within 1/2."""
    drawn = draw_edits(RANGES, channels=3, seed=0, rows=range(4000), stream="a")
    assert sorted(set(drawn.rotation_3d.tolist())) == pytest.approx(list(range(-60, 61, 10)))
    assert sorted(set(drawn.rotation_2d.tolist())) == pytest.approx(list(range(-30, 31, 5)))
    for shift in (drawn.shift_x, drawn.shift_y):
        assert sorted(set((256 * shift).tolist())) == pytest.approx(list(range(-100, 101, 10)))
    assert 0.25 <= float(drawn.zoom.min()) < 0.26
    assert 3.9 < float(drawn.zoom.max()) <= 4.0
    assert float((drawn.zoom < 1).double().mean()) == pytest.approx(0.5, abs=0.04)
    assert 0.49 < float(drawn.colour.abs().max()) <= 0.5
    each = torch.stack([drawn.rotation_3d, drawn.rotation_2d, drawn.zoom.log(), drawn.shift_x, drawn.shift_y])
    correlation = torch.corrcoef(torch.cat((each, drawn.colour.t())))
    assert float((correlation - torch.eye(8)).abs().max()) < 5 / 4000**0.5


def test_sliders_are_shares_of_the_ranges_and_zoom_its_logarithm() -> None:
    drawn = EditDraw(
        of(60.0), of(-15.0), of(4.0), of(50 / 256), of(-100 / 256), torch.tensor([[0.5, 0.0, -0.1]]).double()
    )
    assert sliders(drawn, RANGES)[0].tolist() == pytest.approx([1.0, -0.5, 1.3862944, 0.5, -1.0, 0.5, 0.0, -0.1])
    assert len(names(3)) == 8
    assert len(names(1)) == 6


def test_far_out_no_pixel_is_taken_for_known() -> None:
    """Beyond the horizon of a rotated plane."""
    extreme = replace(still(2), rotation_3d=of(60.0, 2), zoom=of(4.0, 2), shift_x=torch.tensor([0.39, -0.39]).double())
    edited, mask = edit(torch.ones(2, 3, 64, 64), extreme)
    assert bool(edited.isfinite().all())
    assert 0 < int(mask.sum()) < 2 * 64 * 64 / 10
