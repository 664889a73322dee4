"""Batch norm with ReLU6 as one layer for training: `fused.cpp`, compiled at first use (g++, ninja)."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import cpp_extension

FLAGS = ["-O3", "-march=native", "-ffast-math", "-std=c++20"]


@cache
def compiled() -> Any:
    """The compiled module; the first call takes about a minute, later ones use torch's cache."""
    return cpp_extension.load(
        "imageclassifier_fused", [str(Path(__file__).with_name("fused.cpp"))], extra_cflags=FLAGS
    )


class _Fused(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    @staticmethod
    def forward(
        ctx: Any, pictures: Tensor, norm: nn.BatchNorm2d, relu: bool, weight: Tensor, bias: Tensor
    ) -> Tensor:
        out, mean, inverse = compiled().forward(
            pictures, weight, bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps, relu
        )
        ctx.save_for_backward(pictures, mean, inverse, weight, bias)
        ctx.relu = relu
        result: Tensor = out
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, Tensor, Tensor]:
        found, weight, bias = compiled().backward(gradient, *ctx.saved_tensors, ctx.relu)
        return found, None, None, weight, bias


def norm_relu6(norm: nn.BatchNorm2d, pictures: Tensor, *, relu: bool) -> Tensor:
    """Batch norm and optionally ReLU6 in training; bfloat16 [n, c, h, w], channels last."""
    out: Tensor = _Fused.apply(pictures, norm, relu, norm.weight, norm.bias)
    return out


def check() -> None:
    """Compare with torch's own two layers in single precision; raises RuntimeError if they differ."""
    generator = torch.Generator().manual_seed(0)
    pictures, gradient = (
        torch.randn(8, 24, 6, 6, generator=generator).contiguous(memory_format=torch.channels_last).bfloat16()
        for _ in range(2)
    )
    found: list[list[Tensor]] = []
    for use_fused in (True, False):
        norm = nn.BatchNorm2d(24)
        nn.init.constant_(norm.weight, 3.0)
        given = (pictures if use_fused else pictures.float()).clone().requires_grad_()
        out = norm_relu6(norm, given, relu=True) if use_fused else nn.functional.relu6(norm(given))
        out.backward(gradient.to(out.dtype))
        assert given.grad is not None
        assert norm.weight.grad is not None
        assert norm.bias.grad is not None
        found.append(
            [out.detach().float(), given.grad.float(), norm.weight.grad, norm.bias.grad, *_statistics(norm)]
        )
    names = ("output", "input's gradient", "weight's gradient", "bias's gradient", "mean", "variance")
    for name, ours, theirs in zip(names, *found, strict=True):
        error = float((ours - theirs).abs().max() / theirs.abs().max())
        if not error < 0.01:
            raise RuntimeError(f"fused.cpp's {name} differs by {error:.1%} from torch's own: do not train with it")


def _statistics(norm: nn.BatchNorm2d) -> list[Tensor]:
    """The running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return [norm.running_mean, norm.running_var]
