"""All recordings of the reference's preparation of classification data."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from data_provider.uea import fill, read_pair
from tests.conftest import GOLDEN

FOLDER = GOLDEN / "protocol"
NOTES = json.loads((FOLDER / "uea_scaling.json").read_text()) if FOLDER.is_dir() else {}
REFUSED = "FirstChannelShorter"
# the reference halves the series of the cases Subsample…
CASES = sorted(n for n in NOTES.get("cases", {}) if n != REFUSED and n[:9] != "Subsample")
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
    files = read_pair(written(case, case))
    for kind, file in zip(KINDS, files, strict=True):
        notes = NOTES["cases"][case][kind]
        classes = [notes["class_names"][code] for code in notes["codes"]]  # in another order
        assert [file.class_names[label] for label in file.labels] == classes
        assert file.lengths.tolist() == notes["lengths_after_loading"]
        assert file.lengths.max() == notes["max_seq_len"]
        for number, ours in enumerate(fill(file.series)):
            np.testing.assert_array_equal(ours, recorded[f"{case}.{kind}.filled.{number}"])


def test_first_channel_shorter(written):
    """Which the reference refuses."""
    folder = written(REFUSED, REFUSED)
    assert "error" in NOTES["cases"][REFUSED]["TRAIN"]
    train, test = read_pair(folder)
    assert train.lengths.tolist() == [120, 20]
    assert test.lengths.max() == NOTES["cases"][REFUSED]["TEST"]["max_seq_len"]
