"""MobileNetV2 for 32x32 pictures: the network of Sandler et al. (2018), with strides moved for small inputs.

The paper's network shrinks a 224 pixel picture 32 times. Here the stem and the 24 channel stage keep their
resolution, so that 32 pixels end as a 4x4 map: the strides are 1, 1, 1, 2, 2, 1, 2, 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training import fused


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some inverted residual blocks of the same width; the first of them has the stride."""

    expand: int
    channels: int
    blocks: int
    stride: int


STAGES = (
    Stage(expand=1, channels=16, blocks=1, stride=1),
    Stage(expand=6, channels=24, blocks=2, stride=1),
    Stage(expand=6, channels=32, blocks=3, stride=2),
    Stage(expand=6, channels=64, blocks=4, stride=2),
    Stage(expand=6, channels=96, blocks=3, stride=1),
    Stage(expand=6, channels=160, blocks=3, stride=2),
    Stage(expand=6, channels=320, blocks=1, stride=1),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


def scaled(channels: int, width: float) -> int:
    """Channels times width as the paper rounds it: to a multiple of 8, never more than 10 % below."""
    rounded = max(8, int(channels * width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels * width else rounded


class ConvNorm(nn.Sequential):  # type: ignore[misc, unused-ignore]
    """Convolution, batch norm and, unless it is a block's last, ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if relu:
            layers.append(nn.ReLU6(inplace=True))
        super().__init__(*layers)
        self.relu = relu

    def forward(self, pictures: Tensor) -> Tensor:
        """Apply the layers; in training in bfloat16, with norm and ReLU6 as one."""
        convolution, norm = self[0], self[1]
        if not self.training:
            out: Tensor = super().forward(pictures)
            return out
        assert isinstance(norm, nn.BatchNorm2d)
        if convolution.groups > 1 and convolution.stride[0] > 1:
            # The gradient of these in bfloat16 takes twenty times as long as in single precision.
            with torch.autocast("cpu", enabled=False):
                found = convolution(pictures.float()).bfloat16()
        else:
            with torch.autocast("cpu", torch.bfloat16):
                found = convolution(pictures)
        return fused.norm_relu6(norm, found, relu=self.relu)


class InvertedResidual(nn.Module):  # type: ignore[misc, unused-ignore]
    """Widen (1x1), filter each channel (3x3), narrow (1x1); with a shortcut if the shape is unchanged."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.shortcut = stride == 1 and inputs == outputs
        layers = [ConvNorm(inputs, hidden)] if expand != 1 else []
        layers.append(ConvNorm(hidden, hidden, kernel=3, stride=stride, groups=hidden))
        layers.append(ConvNorm(hidden, outputs, relu=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        """Apply the block."""
        out: Tensor = self.layers(pictures)
        return pictures + out if self.shortcut else out


class MobileNetV2(nn.Module):  # type: ignore[misc, unused-ignore]
    """The whole network: pictures [n, 3, 32, 32] to logits [n, classes]."""

    def __init__(self, *, classes: int = 10, width: float = 0.5, stages: tuple[Stage, ...] = STAGES) -> None:
        super().__init__()
        channels = scaled(STEM_CHANNELS, width)
        layers: list[nn.Module] = [ConvNorm(3, channels, kernel=3)]
        for stage in stages:
            outputs = scaled(stage.channels, width)
            for block in range(stage.blocks):
                stride = stage.stride if block == 0 else 1
                layers.append(InvertedResidual(channels, outputs, stride=stride, expand=stage.expand))
                channels = outputs
        layers.append(ConvNorm(channels, HEAD_CHANNELS))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(HEAD_CHANNELS, classes)
        self.apply(_initialise)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.classifier(self.features(pictures).float().mean(dim=(2, 3)))
        return logits


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


def folded(block: ConvNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution with folded batch norm, for inference."""
    convolution, norm = block[0], block[1]
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = convolution.weight.double() * scale[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return weight.float(), bias.float()
