"""Random changes: each can be switched on, keeps the shape, and is the same whoever reads the picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.choices import Augment
from training.config import FitConfig
from training.data import scan
from training.preview import preview
from training.views import Views, read_image, view_transform

SIZE = (32, 48)
SQUARE_ONLY = {Augment.ROTATE_90}


def view() -> torch.Tensor:
    return torch.randint(0, 256, (3, 60, 70), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("kind", list(Augment))
def test_each_change_changes_and_keeps_shape_and_range(kind: Augment) -> None:
    size = (32, 32) if kind in SQUARE_ONLY else SIZE
    plain = view_transform(size)(view())
    changed = [view_transform(size, augment=(kind,))(view()) for _ in range(12)]
    assert all(one.shape == plain.shape and one.dtype == torch.float32 for one in changed)
    assert any(not torch.equal(one, plain) for one in changed)
    assert all(one.min() >= -2.2 and one.max() <= 2.7 for one in changed)  # 0 and 1, normalised


def test_nothing_is_changed_unless_asked_for() -> None:
    assert torch.equal(view_transform(SIZE)(view()), view_transform(SIZE, augment=())(view()))


def test_a_turned_view_has_no_black_corners() -> None:
    white = torch.full((3, 40, 40), 255, dtype=torch.uint8)
    turned = torch.stack([view_transform((32, 64), augment=(Augment.ROTATE,))(white) for _ in range(20)])
    assert turned.min() > 2  # normalised white, everywhere


def test_a_picture_is_changed_alike_whoever_reads_it_and_anew_in_each_epoch(pictures: Path) -> None:
    data = scan(pictures)
    labels = [entry.name for entry in data.classes]
    change = (Augment.CROP, Augment.NOISE, Augment.COLOR)

    def views() -> Views:
        return Views(data.root, data.rows, labels, None, view_transform((32, 32), augment=change), seed=7)

    one, other = views(), views()
    torch.manual_seed(99)
    first = [one[i][0] for i in (0, 1, 2)]
    before = torch.get_rng_state()
    assert torch.equal(other[2][0], first[2])
    assert torch.equal(torch.get_rng_state(), before)  # dropout's own numbers are left alone
    other.epoch = 1
    assert not torch.equal(other[2][0], first[2])
    assert not torch.equal(first[0], first[1])


def test_the_preview_shows_pictures_of_every_class_and_their_changes(pictures: Path, tmp_path: Path) -> None:
    cfg = FitConfig(pictures, tmp_path, network_size=(32, 32), augment=(Augment.FLIP_H,), quiet=True)
    file = tmp_path / "new" / "sheet.png"
    assert preview(cfg, file, 4) == 4
    page = read_image(file)
    assert page.shape[1] == 6 + 6 * 166  # a picture and five changes of it in each row
    assert page.shape[0] == 6 + 4 * (166 + 2 * 16)


def test_quarter_turns_need_a_square(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a square --size"):
        FitConfig(tmp_path, tmp_path, network_size=SIZE, augment=(Augment.ROTATE_90,))
