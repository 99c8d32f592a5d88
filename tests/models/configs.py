"""Options of small models, and of the published ones."""

from types import SimpleNamespace


def small(**changed) -> SimpleNamespace:
    """Options of a model that takes milliseconds, without dropout."""
    options = {
        "task_name": "long_term_forecast", "seq_len": 24, "label_len": 0, "pred_len": 10,
        "enc_in": 3, "c_out": 3, "num_class": 4, "d_model": 8, "n_heads": 2, "e_layers": 2,
        "d_ff": 12, "dropout": 0.0, "activation": "gelu", "patch_len": 8, "stride": 4,
        "moving_avg": 5, "individual": False, "top_k": 3, "num_kernels": 3, "freq": "h",
        "embed": "timeF", "season_length": 6, "factor": 1,
    }  # fmt: skip
    return SimpleNamespace(**{**options, **changed})


def published(**changed) -> SimpleNamespace:
    """Options of a long-term forecast of 7 channels, such as ETT, from 96 steps to 96 steps."""
    sizes = {"seq_len": 96, "pred_len": 96, "enc_in": 7, "c_out": 7, "moving_avg": 25}
    return small(**{**sizes, **changed})
