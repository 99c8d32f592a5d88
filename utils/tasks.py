"""The tasks."""

FORECASTING = ("long_term_forecast", "short_term_forecast")
# the classes in `exp` that `run.py` starts, as `module:class`
EXPERIMENTS = {
    "long_term_forecast": "exp_long_term_forecasting:ExpLongTermForecasting",
    "short_term_forecast": "exp_short_term_forecasting:ExpShortTermForecasting",
    "imputation": "exp_imputation:ExpImputation",
    "anomaly_detection": "exp_anomaly_detection:ExpAnomalyDetection",
    "classification": "exp_classification:ExpClassification",
}
TASKS = tuple(EXPERIMENTS)
