"""What published training loops do otherwise: rules of the loop, and validation
(docs/protocols.md)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from data_provider.batches import index_batches
from utils.seeds import derived_seed

if TYPE_CHECKING:
    from exp.exp_basic import ExpBasic


@dataclass(frozen=True)
class LoopRules:
    """Rules of a training loop. The defaults are sound; published loops break some.

    Attributes:
        cosine: whether `--cos 1` has an effect; if not, `--lradj` always decides.
        adjusted_every: epochs between two adjustments of the learning rate by `--lradj`.
        never_cleared: parameter groups whose gradients add up over all steps and epochs.
        never_stepped: parameter groups that keep their initial values.
    """

    cosine: bool = True
    adjusted_every: int = 1
    never_cleared: tuple[str, ...] = ()
    never_stepped: tuple[str, ...] = ()


SOUND = LoopRules()


def published_validation(run: "ExpBasic", epoch: int) -> float:
    """Validate as the published code does (docs/protocols.md).

    Batches are shuffled, an incomplete last one is dropped where training drops it, some dropouts
    stay on, and forecasting and reconstruction average over batches. Dropouts are seeded for each
    batch, and several processes compute whole batches.
    """
    run.stopping.check()
    run.objective.published_validation_mode()
    sums = torch.zeros(2, device=run.device)
    batches = index_batches(
        len(run.val_set),
        run.args.batch_size,
        run.device,
        derived_seed(run.seed, epoch, "validation order"),
        drop_last=run.drop_last,
    )
    for number, index in run.processes.shard(enumerate(batches)):
        torch.manual_seed(derived_seed(run.seed, epoch, "validation", number))
        sums += torch.tensor(run.batch_score(index), device=run.device)
    run.processes.all_reduce([sums])
    return (sums[0] / sums[1]).item()
