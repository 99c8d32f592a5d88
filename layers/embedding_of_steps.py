"""Embedding of time steps: values, positions and time marks (Informer, arXiv 2012.07436, B)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from utils.timefeatures import mark_count

TABLE_SIZES = (13, 32, 7, 24, 4)  # month, day, weekday, hour, quarter of an hour


def sinusoids(length: int, d_model: int) -> Tensor:
    """Compute fixed positions `[length, d_model]` (arXiv 1706.03762, section 3.5)."""
    position = torch.arange(length, dtype=torch.float32)
    rate = 10000 ** (-torch.arange(0, d_model, 2, dtype=torch.float32) / d_model)
    angle = torch.outer(position, rate)
    pairs = torch.stack((angle.sin(), angle.cos()), dim=-1)
    return rearrange(pairs, "l d pair -> l (d pair)")[:, :d_model]


class CalendarEmbedding(nn.Module):
    """A learned table for each integer mark; their sum is the embedding."""

    def __init__(self, marks: int, d_model: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, d_model) for size in TABLE_SIZES[:marks])

    def forward(self, marks: Tensor) -> Tensor:
        """Map integer marks `[batch, length, marks]` to `[batch, length, d_model]`."""
        marks = marks.long()
        return sum(table(marks[..., i]) for i, table in enumerate(self.tables))


class StepEmbedding(nn.Module):
    """Embed every step of a multivariate window as one token; `freq` and `embed` are the kind of
    time marks, as in `utils.timefeatures.time_features`, or `freq` is None, without marks."""

    def __init__(
        self,
        seq_len: int,
        channels: int,
        d_model: int,
        dropout: float,
        freq: str | None = None,
        embed: str = "timeF",
    ):
        super().__init__()
        self.value = nn.Conv1d(channels, d_model, 3, padding=1, padding_mode="circular", bias=False)
        nn.init.kaiming_normal_(self.value.weight, mode="fan_in", nonlinearity="leaky_relu")
        self.register_buffer("position", sinusoids(seq_len, d_model), persistent=False)
        marks = mark_count(freq, embed) if freq else 0
        self.marks = None
        if marks and embed == "timeF":
            self.marks = nn.Linear(marks, d_model, bias=False)
        elif marks:
            self.marks = CalendarEmbedding(marks, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, x_mark: Tensor | None = None) -> Tensor:
        """Embed values `[batch, seq_len, channels]` and their time marks `[batch, seq_len, marks]`
        as `[batch, seq_len, d_model]`."""
        value = rearrange(self.value(rearrange(x, "b l c -> b c l")), "b d l -> b l d")
        tokens = value + self.position
        if self.marks is not None and x_mark is not None:
            tokens = tokens + self.marks(x_mark)
        return self.dropout(tokens)
