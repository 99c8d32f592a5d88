"""iTransformer: attention between variates (Liu et al. 2024, arXiv 2310.06625, section 3)."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from layers.covariates import with_covariates
from layers.instance_norm import denormalise, standardise
from models.checks import check_task, check_transformer
from utils.tasks import FORECASTING
from utils.timefeatures import mark_count


class Model(nn.Module):
    """Every variate's look-back is one token of a transformer encoder.

    Args:
        configs: task_name, seq_len, pred_len, d_model, n_heads, e_layers, d_ff, dropout,
            activation; enc_in and num_class for classification; freq and embed: the kind of time
            marks, which are tokens in long-term forecasting; past_covariates and
            future_covariates: names of covariates, which are tokens too.

    Raises:
        UserError: unknown task or activation, or the heads do not divide the width.
    """

    def __init__(self, configs: object):
        super().__init__()
        check_task("iTransformer", configs.task_name)
        check_transformer(configs.d_model, configs.n_heads, configs.activation)
        self.classifies = configs.task_name == "classification"
        self.forecasts = configs.task_name in FORECASTING
        self.embedding = nn.Linear(configs.seq_len, configs.d_model)
        self.dropout = nn.Dropout(configs.dropout)
        # not nn.TransformerEncoder, whose layers start as copies of one
        sizes = configs.d_model, configs.n_heads, configs.d_ff, configs.dropout, configs.activation
        layers = (
            nn.TransformerEncoderLayer(*sizes, batch_first=True) for _ in range(configs.e_layers)
        )
        self.encoder = nn.Sequential(*layers, nn.LayerNorm(configs.d_model))
        if self.classifies:
            self.projection = nn.Linear(configs.d_model * configs.enc_in, configs.num_class)
        else:
            steps = configs.pred_len if self.forecasts else configs.seq_len
            self.projection = nn.Linear(configs.d_model, steps)
        past = getattr(configs, "past_covariates", None) or ()
        future = getattr(configs, "future_covariates", None) or ()
        self.embedding_ahead = None
        if future:
            self.embedding_ahead = nn.Linear(configs.seq_len + configs.pred_len, configs.d_model)
        self.tokens_per_window = configs.enc_in + len(past) + len(future)
        if configs.task_name == "long_term_forecast":
            self.tokens_per_window += mark_count(configs.freq, configs.embed)

    def forward(
        self,
        x_enc: Tensor,
        x_mark_enc: Tensor | None = None,
        x_dec: Tensor | None = None,
        x_mark_dec: Tensor | None = None,
        mask: Tensor | None = None,
        past_covariates: Tensor | None = None,
        future_covariates: Tensor | None = None,
    ) -> Tensor:
        """Predict `[batch, steps, channels]`, or logits `[batch, num_class]`, from windows `x_enc`
        `[batch, seq_len, channels]`, in forecasting with their time marks `[batch, seq_len,
        marks]`, which are tokens too. Covariates, and `mask` of imputation: see
        `models.CALF.Model.forward`."""
        if self.classifies:
            features = self.dropout(F.gelu(self.encode(x_enc)))
            return self.projection(rearrange(features, "b c d -> b (c d)"))
        x, mean, scale = standardise(x_enc, mask)
        if self.forecasts and x_mark_enc is not None:
            x = torch.cat((x, x_mark_enc), dim=2)
        features = self.encode(x, past_covariates, future_covariates)
        first = features.shape[1] - x.shape[2]  # behind the covariates
        y = self.projection(features[:, first : first + x_enc.shape[2]])
        return denormalise(rearrange(y, "b c p -> b p c"), mean, scale)

    def encode(self, x: Tensor, past: Tensor | None = None, future: Tensor | None = None) -> Tensor:
        """Map series `[batch, seq_len, series]` to their features `[batch, tokens, d_model]`, those
        of covariates before them; see `layers.covariates.with_covariates`."""
        tokens = self.embedding(rearrange(x, "b l c -> b c l"))
        tokens = with_covariates(tokens, past, future, self.embedding, self.embedding_ahead)
        return self.encoder(self.dropout(tokens))
