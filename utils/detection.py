"""From anomaly scores to detections, and how good these are."""

import numpy as np
from sklearn.metrics import accuracy_score, precision_recall_fscore_support


def threshold(train_scores: np.ndarray, test_scores: np.ndarray, anomaly_ratio: float) -> float:
    """Compute the score above which a point is called anomalous (method, section 8).

    It is the (100 - `anomaly_ratio`) percentile of both kinds of scores together, so the test
    scores have a say in it, as published.

    Args:
        train_scores: `[training points]`. test_scores: `[test points]`.
        anomaly_ratio: share of the points to call anomalous, in percent.
    """
    return float(np.percentile(np.concatenate([train_scores, test_scores]), 100 - anomaly_ratio))


def _borders(labels: np.ndarray) -> np.ndarray:
    """1 where a labelled segment starts, -1 where it has just stopped, `[points + 1]`."""
    return np.diff(np.asarray(labels, dtype=np.int8), prepend=0, append=0)


def segments(labels: np.ndarray) -> list[tuple[int, int]]:
    """List the stretches `[start, stop)` of labelled points.

    Args:
        labels: whether a point is anomalous, `[points]`, bool or 0 and 1.
    """
    borders = _borders(labels)
    starts, stops = np.flatnonzero(borders == 1), np.flatnonzero(borders == -1)
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def point_adjust(pred: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count a labelled segment of which a point is detected as detected from end to end.

    This is how the field reports scores, and it flatters: a single lucky point in a long segment
    is worth all of it, so that even random detections reach a high F1. Points outside the segments
    stay as they are.

    Args:
        pred: whether a point is detected, `[points]`, bool or 0 and 1.
        labels: whether it is anomalous, likewise.

    Returns:
        Adjusted detections `[points]`, bool.
    """
    pred, labels = np.asarray(pred, dtype=bool), np.asarray(labels, dtype=bool)
    number = np.cumsum(_borders(labels)[:-1] == 1)  # of the segment that started last, from 1 on
    found = np.zeros(number.max(initial=0) + 1, dtype=bool)
    found[number[pred & labels]] = True
    return pred | (labels & found[number])


def detection_scores(pred: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Score detections with point adjustment, as published, and without.

    Point adjustment flatters (see `point_adjust`): only the scores named `_raw` say how many
    points are found.

    Args:
        pred: whether a point is detected, `[points]`, bool or 0 and 1.
        labels: whether it is anomalous, likewise.

    Returns:
        `precision`, `recall`, `f1` and `accuracy` after point adjustment, and `precision_raw`,
        `recall_raw` and `f1_raw` without; fractions, 0 where undefined.
    """
    pred, labels = np.asarray(pred, dtype=bool), np.asarray(labels, dtype=bool)
    adjusted = point_adjust(pred, labels)
    scores = {}
    for suffix, detected in (("", adjusted), ("_raw", pred)):
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, detected, average="binary", zero_division=0
        )
        scores |= {
            f"precision{suffix}": float(precision),
            f"recall{suffix}": float(recall),
            f"f1{suffix}": float(f1),
        }
    return {**scores, "accuracy": float(accuracy_score(labels, adjusted))}
