"""What the tasks on sliding windows of a CSV have in common."""

import torch
from torch import Tensor

from data_provider.windows import WindowDataset
from exp.exp_basic import ExpBasic

PLOTTED_WINDOWS = 5


class ExpSeries(ExpBasic):
    """A task on windows of a CSV; its truths and predictions are `[batch, steps, channels]`."""

    def units(self, windows: WindowDataset, y: Tensor) -> Tensor:
        """Bring values to the units that the results are in: original ones with `--inverse`."""
        return windows.inverse_transform(y) if self.args.inverse else y

    def shown_channel(self, windows: WindowDataset) -> int:
        """The channel that plots show: the target, or the last one."""
        if self.args.target in windows.columns:
            return windows.columns.index(self.args.target)
        return windows.n_channels - 1

    def shown_windows(self, count: int) -> list[int]:
        """Numbers of the windows that plots show, spread evenly over `count`."""
        last = (count - 1) / (PLOTTED_WINDOWS - 1)
        return sorted({round(i * last) for i in range(PLOTTED_WINDOWS)})

    def one(self, number: int) -> Tensor:
        """The index of a single window `[1]`."""
        return torch.tensor([number], device=self.device)
