"""All recordings of the reference's preparation of classification data."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from data_provider.uea import common_length, fill, make_splits, read_pair, standardise_by_file
from tests.conftest import GOLDEN
from utils.errors import UserError

FOLDER = GOLDEN / "protocol"
NOTES = json.loads((FOLDER / "uea_scaling.json").read_text()) if FOLDER.is_dir() else {}
REFUSED = "FirstChannelShorter"
CASES = sorted(NOTES["cases"].keys() - {REFUSED}) if NOTES else []
KINDS = ("TRAIN", "TEST")

pytestmark = pytest.mark.skipif(not NOTES, reason=f"no recordings of the reference at {FOLDER}")


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return load_file(FOLDER / "uea_scaling.safetensors")


@pytest.fixture
def written(recorded, tmp_path):
    """Write the raw values of a case to a folder of a given name; return it."""

    def write(case: str, name: str):
        folder = tmp_path / name
        folder.mkdir()
        for kind in KINDS:
            labels, lines = NOTES["cases"][case][kind]["labels"], []
            for number, label in enumerate(labels):
                lengths = NOTES["cases"][case][kind]["lengths"][number]
                channels = [
                    recorded[f"{case}.{kind}.raw.{number}.{channel}"].tolist()
                    for channel in range(len(lengths))
                ]
                assert [len(values) for values in channels] == lengths
                texts = [",".join(map(repr, values)).replace("nan", "?") for values in channels]
                lines.append(":".join([*texts, label]))
            # not in alphabetical order
            header = f"@classLabel true {' '.join(sorted(set(labels), reverse=True))}"
            text = "\n".join([header, "@data", *lines, ""])
            (folder / f"{case}_{kind}.ts").write_text(text)
        return folder

    return write


@pytest.mark.parametrize("case", CASES)
def test_filled(case, recorded, written):
    files = read_pair(written(case, case), published=True)
    for kind, file in zip(KINDS, files, strict=True):
        notes = NOTES["cases"][case][kind]
        assert file.class_names == notes["class_names"]
        assert file.labels.tolist() == notes["codes"]
        assert file.lengths.tolist() == notes["lengths_after_loading"]
        assert file.longest == notes["max_seq_len"]
        for number, ours in enumerate(fill(file.series)):
            np.testing.assert_array_equal(ours, recorded[f"{case}.{kind}.filled.{number}"])


@pytest.mark.parametrize("case", CASES)
def test_normalised(case, recorded, written):
    """In a folder of another name, so without the second scaling of EthanolConcentration."""
    files = read_pair(written(case, "other"), published=True)
    for kind, file in zip(KINDS, files, strict=True):
        samples = range(len(file.series))
        theirs = [recorded[f"{case}.{kind}.normalised.{number}"] for number in samples]
        ours = standardise_by_file(file)
        np.testing.assert_allclose(ours, np.concatenate(theirs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_batch(case, recorded, written):
    scaled_twice = case.startswith("EthanolConcentration")
    files = read_pair(written(case, "EthanolConcentration" if scaled_twice else case), True)
    splits = make_splits(files, seed=0, published=True)
    # the reference's runs pad to the longest series; a shorter batch was recorded on its own
    length = NOTES["cases"][case]["batch_length"]
    assert splits.length == common_length(files) == (11 if case == "ClippedLength" else length)
    assert splits.val is splits.test
    assert splits.n_channels == len(NOTES["cases"][case]["TRAIN"]["mean"])
    for kind, ours in (("TRAIN", splits.train), ("TEST", splits.test)):
        index = torch.arange(len(ours))
        x, y = ours.batch(index)
        theirs = {
            name: recorded[f"{case}.{kind}.{name}"]
            for name in ("batch", "batch_labels", "batch_padding")
        }
        np.testing.assert_allclose(x[:, :length], theirs["batch"], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(y, theirs["batch_labels"][:, 0])
        np.testing.assert_array_equal(ours.padding_mask(index)[:, :length], theirs["batch_padding"])


def test_no_second_scaling_elsewhere(written):
    """The name of the folder alone switches it on."""
    case = "EthanolConcentration"
    once, twice = (
        standardise_by_file(read_pair(written(case, name), published=True)[0])
        for name in ("EthanolConcentration2", case)
    )
    assert np.abs(once - twice).max() > 0.1


def test_first_channel_shorter(written):
    folder = written(REFUSED, REFUSED)
    assert "error" in NOTES["cases"][REFUSED]["TRAIN"]
    with pytest.raises(UserError, match=r"_TRAIN\.ts: sample 1: channel 1 has 100 values.* 120"):
        read_pair(folder, published=True)
    train, test = read_pair(folder)
    assert train.lengths.tolist() == [120, 20]
    assert test.longest == NOTES["cases"][REFUSED]["TEST"]["max_seq_len"]


def test_test_file_beside_a_refused_one(recorded, written):
    """The reference refuses the training file alone; it prepares its test file."""
    folder = written(REFUSED, REFUSED)
    (folder / f"{REFUSED}_TRAIN.ts").write_bytes((folder / f"{REFUSED}_TEST.ts").read_bytes())
    _, test = read_pair(folder, published=True)
    assert test.labels.tolist() == NOTES["cases"][REFUSED]["TEST"]["codes"]
    theirs = {
        name: np.concatenate([recorded[f"{REFUSED}.TEST.{name}.{i}"] for i in range(2)])
        for name in ("filled", "normalised")
    }
    np.testing.assert_array_equal(np.concatenate(fill(test.series)), theirs["filled"])
    ours = standardise_by_file(test)
    np.testing.assert_allclose(ours, theirs["normalised"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", sorted(map(int, NOTES.get("subsample", {}))))
def test_subsample(length, tmp_path):
    """The second sample has a channel of one value, so that the file is subsampled."""
    values = ",".join(map(str, range(length)))
    text = f"@classLabel true a\n@data\n{values}:{values}:a\n1,2:1:a\n"
    for kind in KINDS:
        (tmp_path / f"x_{kind}.ts").write_text(text)
    train, _ = read_pair(tmp_path, published=True)
    expected = NOTES["subsample"][str(length)]
    for channel in train.series[0].T:
        assert len(channel) == expected["length"]
        assert channel[: len(expected["first"])].tolist() == expected["first"]
        assert channel[-1] == expected["last"]
