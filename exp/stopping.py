"""Signals: any process may receive one, and all stop at the same step."""

import torch
from torch import Tensor

from exp.processes import Processes
from utils.interrupts import SIGNALS, Interrupted, Interrupts


class Stopping(Interrupts):
    """Within this context SIGINT and SIGTERM are noted, and `check` raises where stopping is fine.

    An exception that a signal raises anywhere can get lost, in a callback for one.

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
        """Which signals this process received, `[signals]`; to be reduced over all of them."""
        codes = [float(code == self.code) for code in SIGNALS.values()]
        return torch.tensor(codes, device=self.device)

    def check(self, flags: Tensor | None = None) -> None:
        """Stop here if a signal came, to any of the processes.

        Args:
            flags: those of all processes, where they were reduced already. A signal that came
                after that is obeyed at the next check.

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
