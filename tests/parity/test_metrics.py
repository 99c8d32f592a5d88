"""The figures of `metrics.npy` against the reference's."""

import json

import numpy as np
import torch

from utils.metrics import ErrorSums


def test_metrics(golden):
    recorded = json.loads((golden / "protocol" / "features_MS_inverse.json").read_text())
    for case in recorded["metrics"]:
        pred, true = (
            torch.tensor(case[name], dtype=getattr(torch, case["dtype"]))
            for name in ("pred", "true")
        )
        errors = ErrorSums()
        errors.add(pred, true)
        assert list(errors.metrics()) == case["order"]
        expected = [float(value) for value in case["metrics"]]
        found = list(errors.metrics().values())
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=case["name"])
