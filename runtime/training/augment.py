"""Augments each epoch's images: shift, mirror, cutout. Whole batches at a time, on pixels in memory."""

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4
HOLE = 8

# Mean and deviation of the training pictures' channels, on the scale 0 to 1; also in preprocessor_config.json.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


def padded(pixels: Tensor) -> Tensor:
    """Pixels [n, h, w, 3] as [n, 3, h + 8, w + 8], mirrored at the edges: every shift is then a window."""
    return functional.pad(pixels.permute(0, 3, 1, 2), (PADDING,) * 4, mode="reflect").contiguous()


def normalised(pixels: Tensor) -> Tensor:
    """Convert bytes to the network's input, in channels-last layout."""
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def batch(pixels: Tensor, rows: Tensor, *, size: int, holes: bool, generator: torch.Generator) -> Tensor:
    """The given rows of padded pixels, each randomly shifted, mirrored and optionally cut out, as size x size."""
    side = pixels.shape[-1] - 2 * PADDING
    windows = pixels.unfold(2, side, 1).unfold(3, side, 1)  # [n, 3, shifts, shifts, side, side], no copy
    shift = torch.randint(0, 2 * PADDING + 1, (2, len(rows)), generator=generator)
    out = normalised(windows[rows, :, shift[0], shift[1]])
    mirrored = torch.rand(len(rows), generator=generator) < 0.5
    out = torch.where(mirrored.view(-1, 1, 1, 1), out.flip(3), out)
    if holes:
        out = _holed(out, generator)
    if size != side:
        out = functional.interpolate(out, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return out.contiguous(memory_format=torch.channels_last)


def _holed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures with a random square of the mean colour."""
    side = pictures.shape[-1]
    centre = torch.randint(0, side, (2, len(pictures), 1), generator=generator)
    along = torch.arange(side).view(1, 1, -1) - centre + HOLE // 2
    hit = (along >= 0) & (along < HOLE)
    return pictures.masked_fill((hit[0].unsqueeze(2) & hit[1].unsqueeze(1)).unsqueeze(1), 0.0)
