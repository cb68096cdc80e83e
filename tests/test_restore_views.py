"""Both views of a dual-pixel sensor give one photograph."""

from __future__ import annotations

import pytest
import torch
from pictures import seeded
from torch import Tensor, nn

from eamamba.config import EAMambaSettings
from eamamba.images import Photo
from eamamba.restore import RestoreError, restore_photo

LEFT, RIGHT = torch.rand(6, 40, 24, generator=seeded()).split(3)


class MeanOfViews(nn.Module):
    """The simplest network for two views."""

    size_multiple, upscale = 8, 1
    settings = EAMambaSettings(inp_channels=6, dual_pixel_task=True)

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        left, right = image.chunk(2, -3)
        return self.share * (left + right)


class OneView(MeanOfViews):
    """A network for usual photographs."""

    settings = EAMambaSettings()


def test_both_views_give_one_photo() -> None:
    restored = restore_photo(MeanOfViews(), Photo(LEFT, exif=b"y"), right=Photo(RIGHT), tile=16)
    torch.testing.assert_close(restored.rgb, (LEFT + RIGHT) / 2)
    assert restored.exif == b"y"


def test_views_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RestoreError, match=r"the left and the right view .* 1 came"):
        restore_photo(MeanOfViews(), Photo(LEFT))
    with pytest.raises(RestoreError, match="one view, and 2 came"):
        restore_photo(OneView(), Photo(LEFT), right=Photo(RIGHT))
    with pytest.raises(RestoreError, match="views of 24×40 and 24×39 pixels"):
        restore_photo(MeanOfViews(), Photo(LEFT), right=Photo(RIGHT[:, 1:]))
