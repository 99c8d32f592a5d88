"""Stopping by signals: any process may receive one, and all stop at the same step."""

import torch
from torch import Tensor

from exp.processes import Processes
from utils.interrupts import SIGNALS, Interrupted, Interrupts


class Stopping(Interrupts):
    """Records SIGINT and SIGTERM within this context; `check` raises them at safe points.

    An exception raised by the signal handler itself could be lost, for instance in a callback.

    Args:
        processes: of the run. device: of the tensors that they exchange.
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
        """Return which signals this process received, `[signals]`, for all_reduce."""
        codes = [float(code == self.code) for code in SIGNALS.values()]
        return torch.tensor(codes, device=self.device)

    def check(self, flags: Tensor | None = None) -> None:
        """Stop if any process received a signal.

        Args:
            flags: the flags of all processes, if they are reduced already. A later signal is
                handled at the next check.

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
