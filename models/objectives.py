"""Models on a frozen language model as the training loop sees them."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import torch
from einops import rearrange
from torch import Tensor, nn

from layers.backbone import describe_weights_file, load_config, warn_of_another_gpt2
from layers.instance_norm import standardise
from layers.patching import patches
from models.CALF import CALFConfig, Model
from models.interface import DataShape, Objective, ParameterGroup, Predictor
from models.supervised import SupervisedObjective
from utils.bars import clock
from utils.batch import Batch, Weight
from utils.checkpoint import Checkpoint
from utils.configuration import Configuration
from utils.errors import UserError
from utils.losses import CALFLoss
from utils.word_embeddings import DEFAULT_PATH, NO_FILE, require_word_embeddings

PROJECTION_LEARNING_RATE = 1e-4
DIGEST = re.compile(r"SHA-256 (\w+)")  # in the description of a file of word embeddings
BACKBONE_OPTIONS = ("llm", "llm_weights", "seed", "llm_ablation", "gpt_layers")
WORD_TABLE = "in_layer.word_embedding"  # in checkpoints


class FrozenBackbone(Objective):
    """A model on a language model whose frozen weights a fingerprint replaces in checkpoints."""

    @staticmethod
    def resolve_args(args: Configuration) -> Configuration:
        """Without `--d_model`, take the backbone's width."""
        if "d_model" in args.given:
            return args
        return args.replace(d_model=load_config(args.llm).hidden_size)

    @staticmethod
    def seed_of_backbone(args: Configuration) -> Configuration:
        """Seed random weights by `--llm_seed`; without it, by the seed of the repetition."""
        return args if args.llm_seed is None else args.replace(seed=args.llm_seed)

    def backbone_notes(self, args: Configuration) -> dict:
        """Describe the backbone, for records and checkpoints; a line names other weights than those
        of the published GPT-2 under its name."""
        notes = {name: getattr(args, name) for name in BACKBONE_OPTIONS}
        with clock("hashing the weights"):
            notes["fingerprint"] = frozen_fingerprint(self.model.gpt2)
            if args.llm_weights != "random":
                notes["file"] = describe_weights_file(args.llm)
        if "file" in notes:
            warn_of_another_gpt2(args.llm, notes["file"])
        return notes

    def saved_state(self) -> dict[str, Tensor]:
        """All parameters and buffers but frozen parameters.

        Not by `torch.distributed.checkpoint.state_dict`: it keeps a frozen parameter that has two
        names, as those of CALF's two branches do.
        """
        named = self.model.named_parameters(remove_duplicate=False)
        frozen = {name for name, p in named if not p.requires_grad}
        state = self.model.state_dict()
        return {name: value for name, value in state.items() if name not in frozen}

    def load_state(self, state: Mapping[str, Tensor], notes: Mapping, path: Path) -> None:
        """Load trained parameters, or a complete state dict, which contains its own backbone; a
        `UserError` if the parameters are others, or were trained on another backbone."""
        self.check_state(state, path)
        backbone = notes.get("backbone", {})
        whole = state.keys() >= self.model.state_dict().keys()
        if not whole and backbone.get("fingerprint") != self.notes["backbone"]["fingerprint"]:
            llm, weights, seed = (backbone.get(name, "unknown") for name in BACKBONE_OPTIONS[:3])
            raise UserError(
                f"{path} was trained on another backbone: {llm}, {weights} weights, seed {seed}; "
                "give the same --llm, --llm_weights, --llm_ablation and --llm_seed"
            )
        self.model.load_state_dict(state, strict=False)

    def check_resumable(self, notes: Mapping, path: Path) -> None:
        ours, theirs = (n.get("backbone", {}).get("fingerprint") for n in (self.notes, notes))
        if ours != theirs:
            what = "training began with another backbone"
            raise UserError(f"{path}: {what}: --resume needs the same --llm")
        ours, theirs = (DIGEST.findall(n.get("word_embeddings", "")) for n in (self.notes, notes))
        if theirs and ours != theirs:  # states of earlier versions do not name them
            what = "training began with other word embeddings"
            raise UserError(f"{path}: {what}: --resume needs the same file")


class CALFObjective(FrozenBackbone):
    """CALF: three losses, two parameter groups; only trained parameters are saved."""

    loss_names = ("task", "output", "feature")
    shape_options = (
        "--seq_len, --pred_len, --d_model, --gpt_layers, --r, --llm_ablation and --words"
    )

    @staticmethod
    def resolve_args(args: Configuration) -> Configuration:
        """Classification has a loss of its own; word embeddings come from somewhere."""
        args = FrozenBackbone.resolve_args(args)
        args = args.replace(word_embedding_path=resolve_word_embedding_path(args))
        if args.task_name == "classification" and "task_loss" not in args.given:
            return args.replace(task_loss="ce")
        return args

    def __init__(
        self,
        args: Configuration,
        shape: DataShape,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ):
        args = self.seed_of_backbone(args)
        # first: an unknown loss fails at once, a backbone takes seconds to load
        self.loss = CALFLoss.from_args(args)
        config = CALFConfig.from_args(SimpleNamespace(**{**vars(args), **asdict(shape)}))
        has_words = checkpoint is not None and args.words != "none"
        table = checkpoint.state.get(WORD_TABLE) if has_words else None
        self.model = model = Model(config, word_table=table).to(device)
        if table is not None:
            source = checkpoint.metadata.get("word_embeddings", "the checkpoint")
            model.word_embeddings_source = source
        model.check_channels(shape.n_channels)
        model.grad_checkpoint(args.grad_checkpoint)
        tokens = shape.n_channels + model.n_covariates
        self.split_batches(tokens, args.batch_size, device)
        self.branches = model.branches
        counts = self.parameter_counts()
        self.notes = {
            "config": asdict(model.config),
            "backbone": self.backbone_notes(args),
            "word_embeddings": model.word_embeddings_source,
            "parameters": counts,
        }
        print(
            f"CALF on {model.backbone}, {model.blocks}: {counts['trained']:,} trained of "
            f"{counts['in_memory']:,} parameters, on {device}"
        )
        print(f"word embeddings: {model.word_embeddings_source}")

    def losses(self, batch: Batch, weight: Weight) -> dict[str, Tensor]:
        needed = {"text_branch": self.loss.needs_text_branch, "features": self.loss.needs_features}
        output = self.branches(batch.x, batch.mask, **needed, **batch.covariates)
        return self.loss(output, batch, weight)

    def predict(self, batch: Batch) -> Tensor:
        output = self.branches(batch.x, batch.mask, text_branch=False, **batch.covariates)
        return output.outputs_time

    def diagnostics(self, batch: Batch) -> dict[str, float]:
        """Return `distance_I`, the feature loss of hidden state I = 0..N without any weight, if
        training compares the features."""
        if not self.loss.needs_features:
            return {}
        # not compiled: another mode and size would be compiled anew
        output = self.model.branches(
            batch.x, batch.mask, text_branch=True, features=True, **batch.covariates
        )
        pairs = zip(output.features_time, output.features_text, strict=True)
        distances = torch.stack([self.loss.feature(time, text) for time, text in pairs])
        return {f"distance_{i}": value for i, value in enumerate(distances.tolist())}

    def predictor(self, channel: int | None = None) -> Predictor:
        """Take the temporal branch alone, LoRA merged."""
        self.model.keep_temporal_branch()
        return super().predictor(channel)

    def tokens(self, batch: Batch) -> dict[str, Tensor]:
        """Return X_time and X_text of all channels and windows."""
        x_time = self._temporal_tokens(batch)
        x_text = self.model.in_layer.textual_tokens(x_time)
        return {"temporal tokens": x_time.flatten(0, 1), "textual tokens": x_text.flatten(0, 1)}

    def word_attention(self, batch: Batch) -> Tensor | None:
        """Return the weights of the cross-attention, `[channels, principal words]`; None if the
        model has none."""
        return self.model.in_layer.word_attention(self._temporal_tokens(batch))

    def _temporal_tokens(self, batch: Batch) -> Tensor:
        """Embed the standardised channels of a batch, `[batch, channels, d_model]`."""
        x, _, _ = standardise(batch.x, batch.mask)
        series = rearrange(x, "b l c -> b c l")
        tokens = self.model.in_layer.temporal_tokens(series, **batch.covariates)
        return tokens[:, self.model.n_covariates :]

    def compile(self) -> None:
        """Compile what the losses and predictions call; the model itself stays as it is."""
        self.branches = torch.compile(self.model.branches)

    def parameter_groups(self) -> list[ParameterGroup]:
        return parameter_groups(self.model)

    def published_validation_mode(self) -> None:
        """Keep the dropouts of the language model and LoRA on (docs/protocols.md)."""
        self.model.eval()
        self.model.gpt2.train()
        self.model.gpt2_text.train()

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Trained parameters, and the word embeddings."""
        words = getattr(self.model.in_layer, "word_embedding", None)
        return self.saved_state() | ({} if words is None else {WORD_TABLE: words})

    def load_state(self, state: Mapping[str, Tensor], notes: Mapping, path: Path) -> None:
        """Load trained parameters, or a complete state dict of the authors' code; a `UserError` if
        ablation, word embeddings, `lora_alpha`, backbone or shapes are others."""
        trained = notes.get("config")
        if trained is not None:  # no shape shows all of these
            own, before = self.model.config, asdict(CALFConfig()) | trained
            for name in ("llm_ablation", "words", "scale_free", "lora_alpha"):
                if before[name] != getattr(own, name):
                    how = f"was trained with --{name} {before[name]}"
                    raise UserError(f"{path} {how}: give the same")
        # token tables and causal masks, which this model does not have
        left_out = (".wte.weight", ".attn.bias", ".attn.masked_bias", WORD_TABLE)
        state = {name: value for name, value in state.items() if not name.endswith(left_out)}
        super().load_state(state, notes, path)


class GPT4TSObjective(FrozenBackbone, SupervisedObjective):
    """GPT4TS: the loss of the task; only trained parameters are saved."""

    @staticmethod
    def resolve_args(args: Configuration) -> Configuration:
        return SupervisedObjective.resolve_args(FrozenBackbone.resolve_args(args))

    def __init__(self, args: Configuration, *of_run: object):
        args = self.seed_of_backbone(args)
        super().__init__(args, *of_run)
        self.model.grad_checkpoint(args.grad_checkpoint)
        self.notes["backbone"] = self.backbone_notes(args)

    def tokens(self, batch: Batch) -> dict[str, Tensor]:
        """Return the embedded patches of all channels and windows."""
        x, _, _ = standardise(batch.x, batch.mask)
        tokens = self.model.in_layer(patches(x, self.model.patch_len, self.model.stride))
        return {"temporal tokens": tokens.flatten(0, 2)}


def resolve_word_embedding_path(args: Configuration) -> str:
    """Choose the word embeddings where `--word_embedding_path` does not: those of the default file
    belong to GPT-2's pre-trained weights; with others, or without the file, none is read. A
    `UserError` if it is given for a training with random weights, and absent."""
    is_read, random = args.words != "none", args.llm_weights == "random"
    path, exists = args.word_embedding_path, Path(DEFAULT_PATH).exists()
    if "word_embedding_path" in args.given and is_read:
        if path == DEFAULT_PATH and random and args.is_training:  # checkpoints have theirs
            require_word_embeddings(path)
        if path != DEFAULT_PATH or exists:
            return path
    if not (exists and is_read):
        return NO_FILE
    if not random and load_config(args.llm).model_type == "gpt2":
        return DEFAULT_PATH
    why = "random weights" if random else f"--llm {args.llm}"
    print(f"{DEFAULT_PATH} is not read with {why}: --word_embedding_path {DEFAULT_PATH} reads it")
    return NO_FILE


def parameter_groups(model: Model) -> list[ParameterGroup]:
    """Sort the trained parameters into two groups: with and without `_proj` in the name.

    The second is meant for the feature projections. As in the authors' code, the name also selects
    the projections of the match module's attentions (docs/method.md, section 5). `c_proj` belongs
    to a layer that an ablation trains.
    """
    main, projections = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_projection = "_proj" in name and ".c_proj." not in name
            (projections if is_projection else main).append(parameter)
    return [
        ParameterGroup("main", main),
        ParameterGroup("projections", projections, PROJECTION_LEARNING_RATE),
    ]


def frozen_fingerprint(module: nn.Module) -> str:
    """Hash the frozen weights, which identify the backbone whatever was trained on it."""
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        if not parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
