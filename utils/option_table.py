"""All options of `run.py`: those of the published scripts, with their names, defaults and meanings,
of this project, and of Time-Series-Library.

An option is (name, kind, default, help). Its kind is a type, the choices that there are, or
settings of `argparse`.
"""

from argparse import SUPPRESS

from utils.command_line import names, real, split_parts, switch, whole
from utils.tasks import TASKS

Option = tuple[str, object, object, str]

COUNT, POSITIVE, WEIGHT, FRACTION = whole(), whole(1), real(), real(below=1)
BINARY = {"type": COUNT, "choices": (0, 1)}
FLAG = {"action": "store_true"}
LEVEL_LIMITS = 1, 99  # of prediction intervals, in %; a number below 1 would be a fraction
LEVEL = real(LEVEL_LIMITS[0], most=LEVEL_LIMITS[1])
SWITCH = {"type": switch, "nargs": "?", "const": True}  # a boolean, on if it has no value
LOSSES = "l1, smooth_l1, mse"
# fmt: off

# Options that models read from their configs: those of the published scripts, and others.
PUBLISHED_MODEL_OPTIONS: list[Option] = [
    ("d_model", POSITIVE, 512, "width; that of the language model if not given"),
    ("gpt_layers", POSITIVE, 6, "blocks of the language model used"),
    ("r", COUNT, 8, "rank of LoRA; 0: no adapters"),
    ("lora_alpha", POSITIVE, 32, "LoRA is scaled by alpha / r"),
    ("lora_dropout", FRACTION, 0.1, "dropout of LoRA"),
    ("word_embedding_path", str, "wte_pca_500.pt",
     "file that pca.py wrote; none: components of the backbone's own token table, as without the "
     "default file or with --llm_weights random; random: Gaussian, of the same variances"),
    ("feature_loss", str, "l1", f"branch against branch, hidden states: {LOSSES}"),
    ("output_loss", str, "l1", f"branch against branch, outputs: {LOSSES}; M4 more"),
    ("task_w", WEIGHT, 1.0, "weight of the task loss"),
    ("feature_w", WEIGHT, 0.01, "weight of the feature loss"),
    ("output_w", WEIGHT, 1.0, "weight of the output loss"),
    ("enc_in", POSITIVE, 7, "channels of the encoder: those of the data count"),
    ("dec_in", POSITIVE, 7, "channels of the decoder: those of the data count"),
    ("c_out", POSITIVE, 7, "channels forecast: those of the data count"),
    ("n_heads", POSITIVE, 8, "attention heads"),
    ("e_layers", COUNT, 2, "encoder layers"),
    ("d_layers", COUNT, 1, "decoder layers"),
    ("d_ff", POSITIVE, 2048, "width of the feed-forward networks"),
    ("dropout", FRACTION, 0.1, "dropout"),
    ("activation", str, "gelu", "activation: gelu, relu"),
    ("moving_avg", POSITIVE, 25, "steps of the moving average"),
    ("top_k", POSITIVE, 5, "periods found"),
    ("num_kernels", POSITIVE, 6, "kernels of an Inception block"),
    ("factor", POSITIVE, 1, "of sparse attention"),
    ("distil", {"action": "store_false"}, True, "turns distilling off"),
    ("output_attention", FLAG, None, "return attention maps too"),
    ("p_hidden_dims", {"type": POSITIVE, "nargs": "+"}, [128, 128], "widths of projectors"),
    ("p_hidden_layers", POSITIVE, 2, "layers of projectors"),
]
OWN_MODEL_OPTIONS: list[Option] = [
    ("llm", str, "gpt2", "language model: hub id, folder or .gguf file"),
    ("llm_weights", ("pretrained", "random", "shuffled"), "pretrained",
     "random: the same architecture, untrained; shuffled: each weight matrix in random order"),
    ("llm_seed", whole(0, 2**31), None,
     "of random or shuffled weights; if not given, the seed of each repetition"),
    ("llm_ablation", ("none", "random", "frozen_norms", "attention", "transformer", "identity"),
     "none", "random: all untrained; frozen_norms: norms are not trained; or one trained layer, or "
     "nothing, in place of the blocks"),
    ("words", ("pca", "random", "none"), "pca",
     "word embeddings; random: of the same variances; none: no cross-attention"),
    ("n_components", COUNT, 0, "principal components used; 0: all"),
    ("scale_free", FLAG, False,
     "principal words, textual tokens and features have unit root mean square"),
    ("grad_checkpoint", FLAG, False,
     "recompute activations in the backward pass: less memory, same results"),
    ("patch_len", POSITIVE, 16, "steps of a patch"),
    ("stride", POSITIVE, 8, "steps between the starts of patches"),
    ("individual", FLAG, False, "layers of its own for each channel"),
    ("season_length", COUNT, 0, "steps of a season; 0: from timestamps"),
    # Time-Series-Library's, with its defaults
    ("expand", POSITIVE, 2, "expansion factor of Mamba"),
    ("d_conv", POSITIVE, 4, "kernel of Mamba's convolution"),
    ("channel_independence", BINARY, 1, "1: by channel"),
    ("decomp_method", str, "moving_avg", "decomposition: moving_avg, dft_decomp"),
    ("use_norm", BINARY, 1, "1: normalise windows"),
    ("down_sampling_layers", COUNT, 0, "layers of down-sampling"),
    ("down_sampling_window", POSITIVE, 1, "steps of a down-sampling window"),
    ("down_sampling_method", str, None, "down-sampling: avg, max, conv"),
    ("seg_len", POSITIVE, 96, "steps of a segment"),
    ("node_dim", POSITIVE, 10, "width of node embeddings"),
    ("gcn_depth", POSITIVE, 2, "depth of graph convolution"),
    ("gcn_dropout", FRACTION, 0.3, "dropout of graph convolution"),
    ("propalpha", WEIGHT, 0.3, "of graph convolution"),
    ("conv_channel", POSITIVE, 32, "channels of convolutions"),
    ("skip_channel", POSITIVE, 32, "channels of skip connections"),
    ("alpha", WEIGHT, 0.1, "of graph construction"),
    ("top_p", WEIGHT, 0.5, "of dynamic routing"),
    ("pos", BINARY, 1, "1: position embeddings"),
]
MODEL_OPTIONS = frozenset(name for name, *_ in PUBLISHED_MODEL_OPTIONS + OWN_MODEL_OPTIONS)
TABLE_OPTIONS: list[Option] = [
    ("time_col", str, None,
     "column of timestamps; by default the first of date, ds, timestamp, datetime, time, … that "
     "is there"),
    ("id_col", str, "unique_id",
     "column of a long table that names the series; a table with it has a row for each series and"
     " timestamp"),
    ("target_col", str, "y", "column of a long table that has the values"),
    ("panel", ("auto", "channels", "pooled"), "auto",
     "series as the channels of one window, or pooled, each by itself; auto: channels if all have"
     " the same timestamps"),
    ("fill_missing", ("linear", "ffill"), None,
     "accept missing rows and missing or infinite values: insert rows at the usual step, then "
     "fill. linear: interpolate by row number, which uses later values; ffill: repeat the last "
     "value before. Nothing before the first value of a series is filled"),
    ("duplicates", ("first", "last"), None,
     "of rows with the same timestamp keep the first or the last; by default they are refused"),
    ("dayfirst", {"type": switch, "metavar": "true|false"}, None,
     "05/02/2024 is in February, or in May; by default all rows decide"),
    ("decimal", (".", ","), None, "sign before the decimals of a CSV; by default all cells decide"),
    ("thousands", (".", ","), None, "sign between the thousands of a CSV"),
]
TABLES = tuple(name for name, *_ in TABLE_OPTIONS)
# what decides scores, and may be another in a test than in its training
SCORED = (
    *"root_path data_path target freq split inverse zero_shot target_data".split(),
    *"mask_rate anomaly_ratio threshold protocol amp tf32".split(),
    *TABLES,
)

COVARIATE_OPTIONS: list[Option] = [
    ("past_covariates", {"type": names, "metavar": "NAMES"}, None,
     "columns that are neither scored nor forecast, known up to now, as a,b"),
    ("future_covariates", {"type": names, "metavar": "NAMES"}, None,
     "columns that are neither scored nor forecast, known ahead, as promo,holiday"),
    ("calendar", FLAG, False, "hour, weekday and month of the timestamps, known ahead"),
]
COVARIATES = tuple(name for name, *_ in COVARIATE_OPTIONS)

# Options that nothing uses, of the published command lines and of Time-Series-Library's.
UNUSED_OPTIONS: list[Option] = [
    ("num_workers", COUNT, 10, SUPPRESS),
    ("use_amp", FLAG, False, SUPPRESS),
]
AUGMENTATIONS = (
    "jitter scaling permutation randompermutation magwarp timewarp windowslice windowwarp rotation "
    "spawner dtwwarp shapedtwwarp wdba discdtw discsdtw"
)
UNUSED_OPTIONS_OF_LIBRARY: list[Option] = [
    ("gpu_type", str, "cuda", SUPPRESS),
    ("augmentation_ratio", COUNT, 0, SUPPRESS),
    ("use_dtw", SWITCH, False, SUPPRESS),
    ("extra_tag", str, "", SUPPRESS),
    *((name, FLAG, SUPPRESS, SUPPRESS) for name in AUGMENTATIONS.split()),
]
UNUSED = frozenset(name for name, *_ in UNUSED_OPTIONS + UNUSED_OPTIONS_OF_LIBRARY)
# options that change no result: sizes, of which those of the data count; what a run shows and
# saves; where it is computed; what nothing uses
NEUTRAL = UNUSED.union(
    "enc_in dec_in c_out grad_checkpoint checkpoints resume overwrite save_every debug tensorboard "
    "no_epoch_test no_save_predictions future use_gpu gpu use_multi_gpu devices threads".split()
)

# What neuralforecast, darts, GluonTS and their like call parameters of the forecaster, and options.
NAMES_ELSEWHERE = {
    other: own
    for own, others in {
        "h": "horizon prediction_length output_chunk_length forecast_horizon fh n_steps pred_len",
        "input_size": "context_length input_chunk_length lookback look_back seq_len window_size",
        "freq": "frequency",
        "level": "levels quantiles quantile_levels confidence_level",
        "seed": "random_seed random_state",
        "verbose": "progress_bar enable_progress_bar show_progress",
        "start_padding_enabled": "start_padding",
        "train_epochs": "epochs n_epochs num_epochs max_epochs max_steps num_train_steps",
        "batch_size": "windows_batch_size train_batch_size per_device_train_batch_size",
        "learning_rate": "lr optimizer_kwargs",
        "lradj": "lr_scheduler lr_scheduler_cls lr_scheduler_kwargs num_lr_decays",
        "patience": "early_stop_patience_steps early_stopping_patience early_stopping_rounds",
        "task_loss": "loss loss_fn criterion distr_output likelihood",
        "use_gpu": "device accelerator pl_trainer_kwargs trainer_kwargs",
        "d_model": "hidden_size hidden_dim",
        "e_layers": "n_layers num_layers encoder_layers",
        "dropout": "dropout_rate",
        "resume": "load_from_checkpoint ckpt_path",
        "checkpoints": "default_root_dir work_dir output_dir",
    }.items()
    for other in others.split()
}

# The options of `run.py` by groups.
PUBLISHED_OPTIONS: dict[str, list[Option]] = {
"what to run": [
    ("task_name", {"required": True, "choices": TASKS}, None, "kind of experiment"),
    ("is_training", {**BINARY, "required": True}, None, "1 train and test, 0 test"),
    ("model_id", {"required": True}, None, "name of the run, part of its folder"),
    ("model", {"required": True}, None, "a file of models/ (LLaTA is CALF's first name)"),
    ("des", str, "test", "description, part of the folder's name"),
    ("itr", POSITIVE, 1, "repetitions, seeded seed, seed+1, …"),
],
"data": [
    ("data", {"required": True}, None,
     "ETTh1, ETTh2, ETTm1, ETTm2, custom; m4; PSM, MSL, SMAP, SMD, SWaT (SWAT); UEA"),
    ("root_path", str, "./data/ETT/", "folder of the data"),
    ("data_path", str, "ETTh1.csv", "file in that folder"),
    ("features", ("M", "S", "MS"), "M",
     "M all channels to all, S the target alone, MS all channels in, target scored"),
    ("target", str, "OT", "target column of S and MS"),
    ("freq", str, "h", "sampling of time marks: s, t, h, d, b, w, m, 15min, …"),
    ("embed", str, "timeF", "time marks: timeF, or else integers"),
    ("seq_len", POSITIVE, 96, "look-back L, in steps"),
    ("label_len", COUNT, 48, "steps of look-back in a data set's target"),
    ("pred_len", COUNT, 96, "horizon P, in steps"),
    ("percent", whole(1, 100), 100, "%% of the training rows used"),
    ("zero_shot", BINARY, 0, "1: test elsewhere"),
    ("target_data", str, "ETTm1", "where a zero-shot run is tested"),
    ("inverse", FLAG, False, "results in original units"),
],
"options of models": PUBLISHED_MODEL_OPTIONS,
f"loss ({LOSSES}; M4 also smape, mase, mape)": [
    ("task_loss", str, "l1",
     "prediction against truth; classification: ce. If not given, models other than CALF take "
     "mse; M4: smape"),
],
"training": [
    ("train_epochs", POSITIVE, 10, "most epochs"),
    ("batch_size", POSITIVE, 32, "windows a step"),
    ("patience", POSITIVE, 3, "epochs without a better validation error"),
    ("learning_rate", real(below=1e30, open_below=True), 0.0001, "of the main optimiser"),
    ("cos", BINARY, 1,
     "1: cosine schedule, 0: --lradj. If not given, models other than CALF take 0"),
    ("tmax", POSITIVE, 20, "half period of the cosine"),
    ("lradj", str, "type1", "with --cos 0: type1, type2, type3 or type4 decay"),
    ("checkpoints", str, "./checkpoints/", "folder of checkpoints"),
],
"device": [
    ("use_gpu", SWITCH, True, "use CUDA where there is any"),
    ("gpu", COUNT, 0, "number of the GPU"),
    ("use_multi_gpu", FLAG, False,
     "a process for each of --devices; with --use_gpu 0 on the CPU, to try it out"),
    ("devices", str, "0,1,2,3", "GPUs of --use_multi_gpu"),
],
"options of single tasks (accepted and not used elsewhere)": [
    ("seasonal_patterns", str, "Monthly", "M4 frequency"),
    ("mask_rate", real(below=1, open_below=True), 0.25, "imputation"),
    ("anomaly_ratio", real(below=100, open_below=True), 0.25, "anomaly detection, in %%"),
],
"accepted and not used": UNUSED_OPTIONS,
}
OWN_OPTIONS: dict[str, list[Option]] = {
"options of models that the published code lacks": OWN_MODEL_OPTIONS,
"how a CSV or Parquet file is read": TABLE_OPTIONS,
"covariates, of long-term forecasting": COVARIATE_OPTIONS,
"options that the published code does not have": [
    ("loss", {"dest": "task_loss", "type": str.lower, "metavar": "LOSS"}, SUPPRESS,
     "Time-Series-Library's name of --task_loss: MSE, SMAPE, …"),
    ("no_use_gpu", {"dest": "use_gpu", "action": "store_false"}, SUPPRESS,
     "Time-Series-Library's name of --use_gpu 0"),
    ("seed", whole(0, 2**31), 2021, "of every random choice"),
    ("protocol", ("sound", "published"), "sound",
     "published, in forecasting: train, validate and score as the published code does, its faults"
     " included (docs/protocols.md)"),
    ("decay_fac", real(open_below=True, most=1), 0.75, "factor of --lradj type2 and type4"),
    ("do_predict", FLAG, False, "forecast what follows the file: forecast.csv"),
    ("future", {"metavar": "FILE"}, None,
     "of --do_predict: a file with the --future_covariates of the steps after the data"),
    ("refit", FLAG, False,
     "after the test, train again on all rows, for the epochs that validation chose, and forecast"
     " by that model: checkpoint.refit.safetensors, forecast.csv"),
    ("threshold", ("both", "train"), "both",
     "anomaly detection: a percentile of the scores of training and test rows, as published, or "
     "of training rows alone"),
    ("level", {"type": LEVEL, "nargs": "+", "metavar": "PERCENT"}, None,
     "prediction intervals of these levels, as 80 95, by split conformal prediction from the "
     "validation windows: scored on the test windows, and in forecast.csv"),
    ("checkpoint", {"metavar": "FILE"}, None,
     "with --is_training 0: the model to test, or its folder. Alone, with --data_path and "
     "--do_predict as needed: the options of its training need not be given"),
    ("split", {"type": split_parts, "metavar": "TRAIN,VAL,TEST"}, None,
     "of --data custom: fractions of the rows, or whole numbers of rows; by default 0.7,0.1,0.2"),
    ("overwrite", FLAG, False,
     "replace what the run's folders hold of unknown options, or of an unfinished run"),
    ("resume", FLAG, False,
     "continue where a run with the same options stopped, or with fewer --train_epochs or less "
     "--patience. A run that succeeds removes its states, but one if it came to the last epoch: a"
     " longer training continues from that"),
    ("tensorboard", FLAG, False,
     "write what epochs.csv has for TensorBoard too: RESULTS/tensorboard"),
    ("no_epoch_test", FLAG, False,
     "do not score the test split after each epoch, which is for show alone: faster"),
    ("no_save_predictions", FLAG, False,
     "do not write pred.npy and true.npy, which are large where the test split is"),
    ("save_every", {"type": COUNT, "metavar": "N"}, 0,
     "save the state for --resume every N steps too, not only every epoch"),
    ("skip_bad_steps", {"type": COUNT, "metavar": "N"}, 0,
     "skip up to N updates whose loss or gradient is not finite, instead of stopping"),
    ("accumulate", {"type": POSITIVE, "metavar": "K"}, 1,
     "gradient accumulation: a step is one batch of K times --batch_size windows"),
    ("amp", ("no", "bf16", "fp16", "auto"), "no",
     "mixed precision: faster, results differ by rounding; auto: bf16 where a GPU multiplies in "
     "it, or the processor is faster in it"),
    ("tf32", FLAG, False, "TensorFloat-32 products on GPUs"),
    ("compile", FLAG, False, "compile the model, on GPUs"),
    ("deterministic", FLAG, False, "PyTorch's strict mode, for equal bytes on GPUs"),
    ("threads", {"type": COUNT, "metavar": "N"}, 0,
     "CPU threads of each process; by default one for each usable core"),
    ("fast_cpu", ("auto", "off"), "auto", "auto: the fast modules on a CPU; off: plain PyTorch"),
    ("debug", FLAG, False, "show where an error comes from"),
],
"of Time-Series-Library, accepted and not used": UNUSED_OPTIONS_OF_LIBRARY,
}
