"""Thresholds, point adjustment and detection scores."""

import warnings

import numpy as np
import pytest

from utils.detection import detection_scores, point_adjust, threshold


def bits(text: str) -> np.ndarray:
    return np.array([sign == "1" for sign in text])


def test_threshold():
    train, test = np.arange(60.0), np.arange(60.0, 101.0)
    assert threshold(train, test, 10) == 90
    assert threshold(train, None, 10) == np.percentile(train, 90)
    assert threshold(test, train, 0.5) == 99.5


def test_the_very_first_point_is_adjusted_too():
    """Which the reference's is not; `tests/parity` has the others."""
    assert point_adjust(bits("01011"), bits("11010")).tolist() == bits("11011").tolist()


@pytest.mark.parametrize(
    ("pred", "labels", "accuracy"),
    [("000", "000", 1), ("000", "011", 1 / 3), ("110", "000", 1 / 3)],
)
def test_undefined_scores_are_0(pred, labels, accuracy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = detection_scores(bits(pred), bits(labels))
    assert scores.pop("accuracy") == pytest.approx(accuracy)
    assert set(scores.values()) == {0}
