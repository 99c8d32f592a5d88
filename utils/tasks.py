"""The tasks."""

FORECASTING = ("long_term_forecast", "short_term_forecast")
TASKS = (*FORECASTING, "imputation", "anomaly_detection", "classification")
