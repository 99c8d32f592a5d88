"""Any model in Time-Series-Library's convention as the training loop sees it."""

import warnings
from functools import partial
from types import SimpleNamespace

import torch
from torch import Tensor

from models.interface import DataShape, Objective
from models.registry import import_file, model_file, options_of
from utils.batch import Batch, Weight
from utils.checkpoint import Checkpoint
from utils.configuration import Configuration
from utils.errors import UserError, first_line
from utils.losses import choose_loss, compare
from utils.tasks import FORECASTING
from utils.timefeatures import frequency_unit

# what Time-Series-Library's layers call units of time whose first letter is not their name there
FREQUENCIES = {"minute": "t", "year": "a"}


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
        configs = make_configs(args, shape, device)
        self.label_len = configs.label_len
        build, batch = import_file(self.name).Model, self._random_batch(device)
        try:
            with warnings.catch_warnings():
                # of a forecasting head without a horizon, for a task without one
                warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
                self.model = model = build(configs).float().to(device)
            self._check_outputs(batch)
        except UserError:
            raise
        except Exception as error:
            raise UserError(self._refusal(error, batch)) from error
        self.evaluation_windows = args.batch_size
        tokens = getattr(model, "tokens_per_window", None)
        if tokens is not None:
            self.split_batches(tokens, args.batch_size, device)
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
        if self.task in FORECASTING:
            # what the decoder knows: the last label_len steps of the look-back
            known = x[:, shape.seq_len - self.label_len :]
            x_dec = torch.cat([known, x.new_zeros(x.shape[0], shape.pred_len, x.shape[2])], dim=1)
            given = {when: of for when, of in batch.covariates.items() if of is not None}
            covariates = {f"{when}_covariates": of for when, of in given.items()}
            outputs = self.model(x, batch.x_mark, x_dec, batch.y_mark, **covariates)
        elif self.task == "imputation":
            outputs = self.model(x, batch.x_mark, None, None, batch.mask)
        else:  # of classification the marks are the padding
            outputs = self.model(x, batch.x_mark, None, None)
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs  # --output_attention
        is_forecast = self.task in FORECASTING and outputs is not None
        return outputs[:, -shape.pred_len :] if is_forecast else outputs

    def _random_batch(self, device: torch.device) -> Batch:
        """Draw two windows with all that the task has."""
        shape, windows, generator = self.shape, 2, torch.Generator().manual_seed(0)
        x = torch.randn(windows, shape.seq_len, shape.n_channels, generator=generator).to(device)
        zeros, more = partial(x.new_zeros, windows), {}
        if self.task == "imputation":
            more["mask"] = torch.ones_like(x)
        if self.task == "classification":
            more["x_mark"] = x.new_ones(windows, shape.seq_len)
        elif shape.n_marks is not None:
            more["x_mark"] = zeros(shape.seq_len, shape.n_marks)
            more["y_mark"] = zeros(self.label_len + shape.pred_len, shape.n_marks)
        if shape.past_covariates:
            more["past"] = zeros(shape.seq_len, len(shape.past_covariates))
        if shape.future_covariates:
            steps = shape.seq_len + shape.pred_len
            more["future"] = zeros(steps, len(shape.future_covariates))
        return Batch(x, **more)

    def _check_outputs(self, batch: Batch) -> None:
        """Predict a batch, with gradients: a model that lacks the task, or returns another shape,
        fails before training begins."""
        shape, device = self.shape, batch.x.device
        self.model.eval()
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            outputs = self._outputs(batch)
            if getattr(outputs, "requires_grad", False):
                outputs.sum().backward()
                self.model.zero_grad(set_to_none=True)
        if outputs is None:
            lacks = f"{self.name} does not support --task_name {self.task}"
            raise UserError(f"{lacks}: its forward returns nothing")
        if self.task == "classification":
            wanted = (len(batch), shape.num_class)
        else:
            steps = shape.pred_len if self.task in FORECASTING else shape.seq_len
            wanted = (len(batch), steps, shape.n_channels)
        found = tuple(getattr(outputs, "shape", ()))
        if found == wanted:
            return
        if shape.target is None or found != (*wanted[:2], 1):
            path = model_file(self.name)
            raise UserError(f"{path} returns {found or type(outputs)} instead of {wanted}")
        if shape.target != shape.n_channels - 1:
            raise UserError(f"{self.name} forecasts the last column alone: make it the --target")

    def _refusal(self, error: Exception, batch: Batch) -> str:
        """Describe an error in the model's file in a line."""
        task = f"--task_name {self.task}"
        what = f"{model_file(self.name)} fails in {task}, for windows {tuple(batch.x.shape)}"
        if isinstance(error, AttributeError | NotImplementedError):
            what = f"{self.name} does not support {task}"
        hint = ""
        if self.label_len == 0 and "label_len" in options_of(self.name):
            hint = "; it may need a --label_len above 0"
        return f"{what}: {type(error).__name__}: {first_line(error)} (--debug shows where){hint}"


class UntrainedObjective(SupervisedObjective):
    """A model without parameters: it is tested, and never trained."""

    trained = False

    @staticmethod
    def resolve_args(args: Configuration) -> Configuration:
        return SupervisedObjective.resolve_args(args).replace(is_training=0, checkpoint=None)


def make_configs(args: Configuration, shape: DataShape, device: torch.device) -> Configs:
    """Make what `Model(configs)` reads; sizes come from the data, whatever the options say."""
    unit = frequency_unit(args.freq)
    sizes = {
        **dict.fromkeys(("enc_in", "dec_in", "c_out"), shape.n_channels),
        "seq_len": shape.seq_len,
        "label_len": min(args.label_len, shape.seq_len),
        "pred_len": shape.pred_len,
        "num_class": shape.num_class,
        "freq": FREQUENCIES.get(unit, unit[0]),
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
