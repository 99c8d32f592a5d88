"""The reference's recordings of a task, and our model in the same state."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from layers.backbone import load_backbone
from models.CALF import CALFConfig, Model
from utils.batch import Batch

PERIOD = 4  # of the recorded M4 losses, where the recording does not say
ELSEWHERE = "elsewhere"  # metadata of a file: which of its tensors other files contain


def elsewhere(path: Path) -> dict[Path, dict[str, str]]:
    """Read which tensors of a recording are stored in other files.

    Returns:
        By file: the names in the recording, and the names in that file. Empty for a file that
        contains all of its tensors.
    """
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    stored = json.loads(metadata.get(ELSEWHERE, "{}"))
    return {path.parent / other: names for other, names in stored.items()}


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Load all tensors of a recording, in the layout of `tests/golden` or the original one."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for other, names in elsewhere(path).items():
        with safe_open(other, "pt") as file:
            tensors |= {name: file.get_tensor(there) for name, there in names.items()}
    return tensors


def tiny_options(tiny: Path) -> list[str]:
    """The options of a CALF of the recorded sizes."""
    paths = f"--llm {tiny / 'gpt2_tiny'} --word_embedding_path {tiny / 'words.npy'}"
    sizes = "--d_model 48 --gpt_layers 2 --r 4 --lora_alpha 16 --use_gpu 0 --model CALF"
    return f"{paths} {sizes}".split()


class Recording:
    """One task's file and its entry in `golden.json`."""

    def __init__(self, folder: Path, task: str):
        tiny = folder / "tiny"
        everything = json.loads((tiny / "golden.json").read_text())
        self.task = task
        self.tiny = tiny
        self.config = everything["config"]
        self.trainable = everything["trainable"]
        self.notes = everything[task]
        self.tensors = load_tensors(tiny / f"{task}.safetensors")

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose name starts with `prefix.`, without it."""
        start = prefix + "."
        return {
            name.removeprefix(start): value
            for name, value in self.tensors.items()
            if name.startswith(start)
        }

    def model(self) -> Model:
        """Our model with the recorded state, every dropout off."""
        model = self.new_model()
        left_out = (".wte.weight", ".attn.bias", ".attn.masked_bias")
        state = {k: v for k, v in self.group("state").items() if not k.endswith(left_out)}
        model.load_state_dict(state)
        return model.eval()

    def new_model(self) -> Model:
        """Our model on the recorded backbone, all else initialised as for training."""
        config = self.config
        same = "seq_len pred_len d_model gpt_layers r lora_alpha lora_dropout".split()
        options = CALFConfig(
            task_name=self.task,
            **{name: config[name] for name in same},
            n_channels=config["channels"],
            num_class=config.get("num_class", 0),
            match_heads=config.get("encoder_heads", 12),
        )
        words = torch.from_numpy(np.load(self.tiny / "words.npy"))
        return Model(options, load_backbone(str(self.tiny / "gpt2_tiny")), words)

    def batch(self) -> Batch:
        """The recorded windows, as a task hands them to the model."""
        tensors = self.tensors
        mask = tensors.get("mask")
        return Batch(
            tensors["x"],
            tensors["y"] if mask is None else tensors["x_full"],
            mask,
            tensors.get("y_mark") if self.task == "short_term_forecast" else None,
            self.config.get("period", PERIOD),
        )


def assert_agree(ours: Tensor, theirs: Tensor, relative: float, what: str) -> None:
    """Compare to a tolerance relative to the largest entry."""
    assert ours.shape == theirs.shape, what
    error = (ours - theirs).abs().max().item()
    scale = theirs.abs().max().item()
    assert error <= relative * max(scale, 1e-6), f"{what}: off by {error} at a scale of {scale}"
