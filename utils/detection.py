"""Anomaly scores: threshold, point adjustment, precision, recall and F1."""

import numpy as np


def threshold(
    train_scores: np.ndarray, test_scores: np.ndarray | None, anomaly_ratio: float
) -> float:
    """Compute the score above which a point is detected (`docs/method.md`, section 8): the
    (100 - `anomaly_ratio`) percentile of the scores `[points]` of training and, as published, test,
    on which it depends then."""
    scores = [train_scores] if test_scores is None else [train_scores, test_scores]
    return float(np.percentile(np.concatenate(scores), 100 - anomaly_ratio))


def segments(labels: np.ndarray) -> list[tuple[int, int]]:
    """List the segments `[start, stop)` of labelled points `[points]`, bool or 0 and 1."""
    from scipy import ndimage  # slow to import

    numbered, _ = ndimage.label(labels)
    return [(part.start, part.stop) for (part,) in ndimage.find_objects(numbered)]


def point_adjust(pred: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mark all points of a labelled segment as detected if one of them is: `[points]`, bool.

    The field reports scores after this adjustment, which inflates them: a single detected point in
    a long segment counts for all of it, so that even random detections reach a high F1
    (`docs/method.md`, section 8).

    Args:
        pred, labels: whether a point is detected, and anomalous, `[points]`, bool or 0 and 1.
    """
    from scipy import ndimage  # slow to import

    pred, labels = np.asarray(pred, dtype=bool), np.asarray(labels, dtype=bool)
    numbered, _ = ndimage.label(labels)
    return pred | (labels & np.isin(numbered, numbered[pred & labels]))


def detection_scores(pred: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Score detections, see `point_adjust`: `precision`, `recall`, `f1` and `accuracy` after point
    adjustment, as published, which inflates them, and `precision_raw`, `recall_raw` and `f1_raw`
    before it; fractions, 0 where undefined."""
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support  # slow to import

    pred, labels = np.asarray(pred, dtype=bool), np.asarray(labels, dtype=bool)
    adjusted = point_adjust(pred, labels)
    scores = {}
    for suffix, detected in (("", adjusted), ("_raw", pred)):
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, detected, average="binary", zero_division=0
        )
        for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
            scores[f"{name}{suffix}"] = float(value)
    return {**scores, "accuracy": float(accuracy_score(labels, adjusted))}
