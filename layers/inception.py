"""The inception block of TimesNet: parallel 2D kernels of several sizes, and their mean."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InceptionBlock(nn.Module):
    """The mean of convolutions with kernels of size 1, 3, 5, … (arXiv 2210.02186, section 3.2).

    Convolution is linear in the kernel: the mean of the outputs is the output of the mean kernel,
    once all are padded to one size. So there is one convolution instead of `num_kernels`.
    """

    def __init__(self, in_channels: int, out_channels: int, num_kernels: int):
        super().__init__()
        self.kernels = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, 2 * i + 1, padding=i) for i in range(num_kernels)
        )
        for kernel in self.kernels:
            nn.init.kaiming_normal_(kernel.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(kernel.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` `[batch, in_channels, rows, columns]` to `[batch, out_channels, ..., ...]`."""
        weight = self.kernels[0].weight
        for kernel in self.kernels[1:]:
            weight = F.pad(weight, (1, 1, 1, 1)) + kernel.weight
        weight = weight / len(self.kernels)
        bias = torch.stack([kernel.bias for kernel in self.kernels]).mean(dim=0)
        # what lies farther from the centre than the image is large only meets padding
        radius = [min(weight.shape[-1] // 2, size - 1) for size in x.shape[-2:]]
        for dim, kept in zip((-2, -1), radius, strict=True):
            weight = weight.narrow(dim, weight.shape[dim] // 2 - kept, 2 * kept + 1)
        return F.conv2d(x, weight, bias, padding=radius)
