"""Signals: any process may receive one, and all stop at the same step."""

import torch
from torch import Tensor

from exp.processes import Processes
from utils.interrupts import SIGNALS, Interrupted, Interrupts


class Stopping(Interrupts):
    """Within this context SIGINT and SIGTERM are recorded, and `check` raises where a run may stop.

    An exception raised by the signal handler itself could get lost, such as in a callback.

    Args:
        processes: of the run. device: where they exchange tensors.
    """

    def __init__(self, processes: Processes, device: torch.device):
        super().__init__()
        self.processes, self.device, self.active = processes, device, False

    def __enter__(self) -> "Stopping":
        self.active = True
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        try:
            super().__exit__(*error)
        finally:
            self.active = False

    def flags(self) -> Tensor:
        """Which signals this process received, `[signals]`, to be summed over all processes."""
        codes = [float(code == self.code) for code in SIGNALS.values()]
        return torch.tensor(codes, device=self.device)

    def check(self, flags: Tensor | None = None) -> None:
        """Stop here if any process received a signal.

        Args:
            flags: those of all processes, if they were summed already. A later signal is seen at
                the next check.

        Raises:
            Interrupted: one did.
        """
        if self.processes.count == 1 or not self.active:
            super().check()
            return
        if flags is None:
            flags = self.flags()
            self.processes.all_reduce([flags])
        for code, received in zip(SIGNALS.values(), flags.tolist(), strict=True):
            if received:
                raise Interrupted(code)
