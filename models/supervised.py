"""Any model in Time-Series-Library's convention as the training loop sees it."""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from models.interface import DataShape, Objective
from models.registry import load_model, model_file, options_of
from utils.batch import Batch, Weight
from utils.checkpoint import Checkpoint
from utils.configuration import Configuration
from utils.errors import UserError
from utils.losses import choose_loss, compare
from utils.tasks import FORECASTING
from utils.timefeatures import frequency_unit

# what Time-Series-Library's layers call units of time; ours know these too
FREQUENCIES = {
    "second": "s",
    "minute": "t",
    "hour": "h",
    "day": "d",
    "week": "w",
    "month": "m",
    "quarter": "q",
    "year": "a",
}


class MissingOptionError(UserError, AttributeError):
    """A model reads an attribute that its configs lack."""


class Configs(SimpleNamespace):
    """What `Model(configs)` reads: the options of the command line, and the sizes of the data."""

    def __getattr__(self, name: str) -> object:
        raise MissingOptionError(
            f"{model_file(self.model)} reads configs.{name}, but there is no option --{name}: "
            "add one to utils/option_table.py, or a default to the model's file"
        )


class SupervisedObjective(Objective):
    """A model with the loss of its task and one Adam; all parameters and buffers are saved.

    A batch is split into micro-batches only if the model has an attribute `tokens_per_window`, by
    which it says that this does not change its results, and how much memory a window takes.
    """

    uses_marks = True
    shape_options = "--seq_len, --pred_len and options of the model"

    @staticmethod
    def resolve_args(args: Configuration) -> Configuration:
        """Without `--task_loss`, take the usual one of the task."""
        if "task_loss" in args.given:
            return args
        usual = {"classification": "ce", "short_term_forecast": "smape"}
        return args.replace(task_loss=usual.get(args.task_name, "mse"))

    def __init__(
        self,
        args: Configuration,
        shape: DataShape,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ):
        self.loss = choose_loss(args, "task_loss")
        self.name, self.task, self.shape = args.model, args.task_name, shape
        self.path = model_file(args.model)
        configs = make_configs(args, shape, device)
        self.label_len = configs.label_len
        self.model = model = self._build(configs).float().to(device)
        self.evaluation_windows = args.batch_size
        tokens = getattr(model, "tokens_per_window", None)
        if tokens is not None:
            self.split_batches(tokens, args.batch_size, device)
        self._check_outputs(device)
        counts = self.parameter_counts()
        self.notes = {
            "model": self.name,
            "config": {
                name: value
                for name, value in sorted(vars(configs).items())
                if name in options_of(self.name) and name != "device"
            },
            "parameters": counts,
        }
        on = f" on {model.backbone}" if isinstance(getattr(model, "backbone", 0), str) else ""
        print(
            f"{self.name}{on}: {counts['trained']:,} trained of {counts['in_memory']:,} "
            f"parameters, on {device}"
        )

    def losses(self, batch: Batch, weight: Weight) -> dict[str, Tensor]:
        loss = compare(self.loss, self._outputs(batch), batch.y, batch)
        return {"total": weight.scored * loss}

    def predict(self, batch: Batch) -> Tensor:
        return self._outputs(batch)

    def _outputs(self, batch: Batch) -> Tensor:
        """Call the model as Time-Series-Library does: `[batch, steps, channels]` or logits."""
        x, shape = batch.x, self.shape
        if x.shape[2] != shape.n_channels:
            raise UserError(
                f"the model was made for {shape.n_channels} channels, but the data has {x.shape[2]}"
            )
        for when, values in batch.covariates.items():
            names = getattr(shape, f"{when}_covariates")
            if (0 if values is None else values.shape[2]) != len(names):
                raise UserError(f"the model was made for the {when} covariates {', '.join(names)}")
        if self.task in FORECASTING:
            # what the decoder knows: the last label_len steps of the look-back
            known = x[:, shape.seq_len - self.label_len :]
            x_dec = torch.cat([known, x.new_zeros(x.shape[0], shape.pred_len, x.shape[2])], dim=1)
            covariates = {
                f"{when}_covariates": values
                for when, values in batch.covariates.items()
                if values is not None
            }
            outputs = self.model(x, batch.x_mark, x_dec, batch.y_mark, **covariates)
        elif self.task == "imputation":
            outputs = self.model(x, batch.x_mark, None, None, batch.mask)
        else:  # of classification the marks are the padding
            outputs = self.model(x, batch.x_mark, None, None)
        if isinstance(outputs, tuple):  # with --output_attention
            outputs = outputs[0]
        if self.task in FORECASTING and outputs is not None:
            return outputs[:, -shape.pred_len :]
        return outputs

    def _build(self, configs: Configs) -> nn.Module:
        """Import the model's file, and make the model.

        Raises:
            UserError: that fails.
        """
        build = load_model(self.name)
        try:
            with warnings.catch_warnings():
                # of a forecasting head without a horizon, for a task without one
                warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
                return build(configs)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{self.path}: the model can't be made for --task_name {self.task}: "
                f"{described(error)}"
            ) from error

    def _check_outputs(self, device: torch.device) -> None:
        """Predict two random windows, with gradients, so that a model fails before training begins.

        Raises:
            UserError: the model lacks the task, fails, or returns another shape.
        """
        shape, windows = self.shape, 2
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(windows, shape.seq_len, shape.n_channels, generator=generator).to(device)
        batch = Batch(x, mask=torch.ones_like(x) if self.task == "imputation" else None)
        if self.task == "classification":
            batch = Batch(x, x_mark=x.new_ones(windows, shape.seq_len))
        elif shape.n_marks is not None:
            steps = (shape.seq_len, self.label_len + shape.pred_len)
            x_mark, y_mark = (x.new_zeros(windows, n, shape.n_marks) for n in steps)
            batch = replace(batch, x_mark=x_mark, y_mark=y_mark)
        if shape.past_covariates:
            past = x.new_zeros(windows, shape.seq_len, len(shape.past_covariates))
            batch = replace(batch, past=past)
        if shape.future_covariates:
            steps = shape.seq_len + shape.pred_len
            future = x.new_zeros(windows, steps, len(shape.future_covariates))
            batch = replace(batch, future=future)
        lacks = f"{self.name} does not support --task_name {self.task}"
        self.model.eval()
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                outputs = self._outputs(batch)
                if getattr(outputs, "requires_grad", False):
                    outputs.sum().backward()
                    self.model.zero_grad(set_to_none=True)
        except UserError:
            raise
        except (AttributeError, NotImplementedError) as error:
            raise UserError(f"{lacks}: {described(error)}") from error
        except Exception as error:
            hint = ""
            if self.label_len == 0 and "label_len" in options_of(self.name):
                hint = "; it may need a --label_len above 0"
            raise UserError(
                f"{self.path} fails in --task_name {self.task}, for windows {tuple(x.shape)}: "
                f"{described(error)}{hint}"
            ) from error
        if outputs is None:
            raise UserError(f"{lacks}: its forward returns nothing")
        if self.task == "classification":
            wanted = (windows, shape.num_class)
        else:
            steps = shape.pred_len if self.task in FORECASTING else shape.seq_len
            wanted = (windows, steps, shape.n_channels)
        found = tuple(getattr(outputs, "shape", ()))
        if found == wanted:
            return
        if shape.target is None or found != (*wanted[:2], 1):
            raise UserError(f"{self.path} returns {found or type(outputs)} instead of {wanted}")
        if shape.target != shape.n_channels - 1:
            raise UserError(f"{self.name} forecasts the last column alone: make it the --target")


class UntrainedObjective(SupervisedObjective):
    """A model without parameters: it is tested, and never trained."""

    trained = False

    @staticmethod
    def resolve_args(args: Configuration) -> Configuration:
        return SupervisedObjective.resolve_args(args).replace(is_training=0, checkpoint=None)


def make_configs(args: Configuration, shape: DataShape, device: torch.device) -> Configs:
    """Make what `Model(configs)` reads; sizes come from the data, whatever the options say."""
    sizes = {
        **dict.fromkeys(("enc_in", "dec_in", "c_out"), shape.n_channels),
        "seq_len": shape.seq_len,
        "label_len": min(args.label_len, shape.seq_len),
        "pred_len": shape.pred_len,
        "num_class": shape.num_class,
        "freq": FREQUENCIES[frequency_unit(args.freq)],
        "season_length": args.season_length or shape.season_length,
        "past_covariates": shape.past_covariates,
        "future_covariates": shape.future_covariates,
        "device": device,
    }
    for name in ("enc_in", "dec_in", "c_out", "num_class"):
        given = getattr(args, name, None)
        if name in args.given and given != sizes[name]:
            print(f"--{name} {given}: the data has {sizes[name]}, which counts")
    return Configs(**{**vars(args), **sizes})


def described(error: Exception) -> str:
    """Describe an error in a model's file in a line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''} (--debug shows where)"
