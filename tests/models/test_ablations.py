"""CALF without its language model or its word embeddings: what is trained, run, and refused."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from layers.backbone import load_backbone
from layers.branches import ABLATIONS
from models.CALF import WORDS, CALFConfig, Model
from models.objectives import CALFObjective, parameter_groups
from pca import principal_word_embeddings
from run import main, parse_args
from tests.conftest import without
from tests.layers.families import FAMILIES
from tests.models.same_results import assert_every_way_agrees
from utils.checkpoint import read_checkpoint
from utils.errors import UserError
from utils.word_embeddings import DEFAULT_PATH, first_components


@pytest.fixture
def config(small_gpt2) -> CALFConfig:
    return CALFConfig(
        seq_len=16, pred_len=5, d_model=24, gpt_layers=2, llm=str(small_gpt2), seed=1,
        word_embedding_path=str(small_gpt2 / "words.pt"),
    )  # fmt: skip


def build(config: CALFConfig, **changes) -> Model:
    torch.manual_seed(0)
    return Model(replace(config, **changes))


@pytest.mark.parametrize("llm_ablation", ABLATIONS)
def test_groups(config, llm_ablation):
    """The fixed learning rate is for projections of features and of the match module alone."""
    model = build(config, llm_ablation=llm_ablation)
    names = {id(p): name for name, p in model.named_parameters()}
    main_group, projections = parameter_groups(model)
    found = {names[id(p)] for p in projections.parameters}
    states = len(model.time_proj)
    expected = {f"{side}_proj.{i}.weight" for side in ("time", "text") for i in range(states)}
    for attention in ("transformer_encoder.layers.0.self_attn", "cross_attention"):
        for part in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"):
            expected.add(f"in_layer.{attention}.{part}")
    assert found == expected
    assert found | {names[id(p)] for p in main_group.parameters} == {
        name for name, p in model.named_parameters() if p.requires_grad
    }


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("llm_ablation", ABLATIONS)
def test_fast_modules_and_checkpointed_blocks(config, llm_ablation, words):
    model = build(config, llm_ablation=llm_ablation, words=words)
    x = torch.randn(2, 16, 5)

    def outputs() -> list[torch.Tensor]:
        found = model.branches(x, text_branch=True)
        return [found.outputs_time, found.outputs_text, *found.features_time, *found.features_text]

    assert_every_way_agrees(model, outputs)
    assert model.gpt2_text.is_activation_checkpointing


def test_no_words(config, tmp_path):
    """No file is read, no cross-attention made, and the textual tokens are the temporal ones."""
    model = build(config, words="none", word_embedding_path=str(tmp_path / "absent.pt"))
    assert not [name for name in model.state_dict() if "cross_attention" in name]
    assert not [name for name, _ in model.named_buffers() if "word" in name]
    x_time = torch.randn(2, 3, 24)
    assert model.in_layer.textual_tokens(x_time) is x_time
    assert model.word_embeddings_source == "none"


def test_random_words(config):
    pca = build(config).in_layer.word_embedding
    random, again = (build(config, words="random").in_layer.word_embedding for _ in range(2))
    assert torch.equal(random, again)
    assert random.shape == pca.shape == (12, 24)
    torch.testing.assert_close(random.var(dim=1), pca.var(dim=1), rtol=1e-4, atol=0)
    torch.testing.assert_close(random.mean(dim=1), pca.mean(dim=1), rtol=0, atol=1e-5)
    cosine = torch.cosine_similarity(random, pca).abs()
    assert cosine.mean() < 0.5
    other = build(config, words="random", seed=2).in_layer.word_embedding
    assert not torch.allclose(random, other)


@pytest.mark.parametrize("n_components", [1, 5, 12])
def test_first_components(config, small_gpt2, n_components):
    """Of the file, and computed: both are the exact PCA's first ones."""
    table = load_backbone(str(small_gpt2)).get_input_embeddings().weight
    expected = principal_word_embeddings(table, n_components).T
    found = build(config, n_components=n_components).in_layer.word_embedding
    torch.testing.assert_close(found, expected)
    first = first_components(principal_word_embeddings(table, 12), n_components, "file")
    torch.testing.assert_close(first.T, expected)


def test_too_many_components(config):
    with pytest.raises(UserError, match=r"--n_components 13: .*words.pt \(.*\) has 12 components"):
        build(config, n_components=13)


@pytest.mark.parametrize(
    ("option", "value"),
    [("llm_ablation", "random"), ("llm_ablation", "transformer"), ("words", "none")],
)
def test_checkpoints(workdir, command, refused, option, value):
    """One loads with the same options, and with no other of these."""
    assert main(command(*SHORT, f"--{option}", value)) == 0
    (ours,) = workdir.glob("checkpoints/*/checkpoint.safetensors")
    notes = read_checkpoint(ours).metadata
    assert notes["config"][option] == value
    if option == "llm_ablation":
        assert notes["backbone"][option] == value
    test = ("--is_training", "0", "--checkpoint", str(ours))
    assert main(command(*test, f"--{option}", value)) == 0
    others = {*(ABLATIONS if option == "llm_ablation" else WORDS)} - {value}
    for other in others:
        message = refused(command(*test, f"--{option}", other))
        assert f"was trained with --{option} {value}" in message


SHORT = ("--train_epochs", "1", "--percent", "40")
WORDS_FILE = "--word_embedding_path"


def manifests(results: Path) -> set[str]:
    """What the manifests of a run and of its checkpoint say of the word embeddings."""
    read = [json.loads(path.read_text()) for path in Path().glob(f"*/{results.name}/manifest.json")]
    assert len(read) == 2
    names = ("word_embedding_path", "trained word_embedding_path")
    return {options[name] for options in read for name in names}


def predictions(results: Path) -> bytes:
    return (results / "pred.npy").read_bytes()


def write_words(path: str, seed: int = 0) -> None:
    torch.save(torch.randn(24, 12, generator=torch.Generator().manual_seed(seed)), path)


def test_random_weights_ignore_a_file_that_happens_to_be_there(
    workdir, command, capsys, newest, record
):
    argv = without(command(*SHORT, "--llm_weights", "random"), WORDS_FILE)
    assert main(argv) == 0
    assert "is not read" not in capsys.readouterr().out
    plain = predictions(newest())
    write_words(DEFAULT_PATH)
    assert main(argv) == 0
    assert len(list(Path("results").iterdir())) == 1  # the same configuration, too
    assert predictions(newest()) == plain
    out = capsys.readouterr().out
    assert out.count(f"{DEFAULT_PATH} is not read with random weights") == 1
    assert out.count("word embeddings: 24 components computed from") == 1
    assert manifests(newest()) == {"none"}
    assert record()["arguments"]["word_embedding_path"] == "none"
    assert main([*argv, "--word_embedding_path", "none"]) == 0
    assert predictions(newest()) == plain
    assert "is not read" not in capsys.readouterr().out
    assert main([*argv, "--word_embedding_path", DEFAULT_PATH]) == 0
    assert predictions(newest()) != plain
    assert record()["word_embeddings"].startswith(DEFAULT_PATH)


def test_pretrained_weights_read_the_default_file(workdir, command, refused, newest, record):
    """Also with `--llm_ablation random`, which leaves the token table alone."""
    argv = without(command(*SHORT), WORDS_FILE)
    named = [*argv, "--word_embedding_path", DEFAULT_PATH]
    assert f"{DEFAULT_PATH}: no such file" in refused([*named, "--llm_weights", "random"])
    assert main([*named, "--words", "none"]) == 0
    assert main(argv) == 0
    assert manifests(newest()) == {"none"}
    assert main(named) == 0  # the same words
    assert record()["word_embeddings"].startswith("24 components computed from")
    write_words(DEFAULT_PATH)
    for more in ((), ("--llm_ablation", "random")):
        assert main([*argv, *more]) == 0
        assert manifests(newest()) == {str(Path(DEFAULT_PATH).resolve())}
        assert record()["word_embeddings"].startswith(f"{DEFAULT_PATH} (SHA-256 ")
    FAMILIES["llama"].save_pretrained("llama")  # the file is GPT-2's
    args = parse_args([*argv, "--llm", "llama"], "")
    assert CALFObjective.resolve_args(args).word_embedding_path == "none"


def test_sources_of_word_embeddings(workdir, command, capsys, newest, record):
    """Each is recorded, tested again, and has a folder of its own."""
    write_words("none")
    digest = hashlib.sha256(Path("none").read_bytes()).hexdigest()[:16]
    computed = "24 components computed from {} with its weights"
    sources = {
        "none": ("none", computed),
        "random": ("random", f"random (seed 2021), variances of {computed}"),
        "./none": (str(Path("none").resolve()), f"./none (SHA-256 {digest})"),
    }
    seen = set()
    for path, (stated, source) in sources.items():
        more = ("--word_embedding_path", path)
        assert main(command(*SHORT, *more)) == 0
        assert newest() not in seen
        seen.add(newest())
        source = source.format(record()["arguments"]["llm"])
        assert record()["word_embeddings"] == source
        assert f"word embeddings: {source}\n" in capsys.readouterr().out
        assert manifests(newest()) == {stated}
        before = predictions(newest())
        assert main(command(*SHORT, *more, "--is_training", "0")) == 0
        assert predictions(newest()) == before
        assert record()["word_embeddings"] == source
    write_words("none", seed=1)
    assert main(command(*SHORT, "--word_embedding_path", "./none")) == 0
    assert record()["word_embeddings"] != source
