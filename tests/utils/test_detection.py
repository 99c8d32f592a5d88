"""Thresholds, point adjustment and detection scores."""

import warnings

import numpy as np
import pytest

from utils.detection import detection_scores, point_adjust, threshold


def bits(text: str) -> np.ndarray:
    return np.array([sign == "1" for sign in text])


def looped(pred: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Point adjustment in a loop over points."""
    adjusted = pred.copy()
    for i in range(len(pred)):
        if pred[i] and labels[i]:
            for step in (-1, 1):
                j = i
                while 0 <= j < len(pred) and labels[j]:
                    adjusted[j] = True
                    j += step
    return adjusted


def test_threshold():
    train, test = np.arange(60.0), np.arange(60.0, 101.0)
    assert threshold(train, test, 10) == 90
    assert threshold(train, None, 10) == np.percentile(train, 90)
    assert threshold(test, train, 0.5) == 99.5


def test_point_adjust_is_the_loop():
    rng = np.random.default_rng(0)
    for _ in range(300):
        points = rng.integers(1, 60)
        labels = np.repeat(rng.random(points) < rng.random(), rng.integers(1, 6, size=points))
        pred = rng.random(len(labels)) < rng.random() ** 2
        np.testing.assert_array_equal(point_adjust(pred, labels), looped(pred, labels))


def test_detection_scores():
    scores = detection_scores(bits("1010000000"), bits("0011110110"))
    assert scores == pytest.approx(
        {
            "precision": 4 / 5,
            "recall": 4 / 6,
            "f1": 8 / 11,
            "accuracy": 7 / 10,
            "precision_raw": 1 / 2,
            "recall_raw": 1 / 6,
            "f1_raw": 1 / 4,
        }
    )
    assert all(type(score) is float for score in scores.values())


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
