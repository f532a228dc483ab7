"""Metrics in CloudWatch's embedded metric format: log lines that CloudWatch turns into metrics, without a request."""

from aws_lambda_powertools.metrics import MetricUnit, single_metric

NAMESPACE = "Darkroom"


def count(name: str, operation: str, **dimensions: str) -> None:
    """Adds one to a counter of an operation."""
    _emit(name, 1, MetricUnit.Count, operation, dimensions)


def gauge(name: str, value: float, operation: str) -> None:
    """Records a current value of an operation."""
    _emit(name, value, MetricUnit.Count, operation, {})


def duration_ms(name: str, value: float, operation: str) -> None:
    """Records a duration of an operation, in milliseconds."""
    _emit(name, value, MetricUnit.Milliseconds, operation, {})


def _emit(name: str, value: float, unit: MetricUnit, operation: str, dimensions: dict[str, str]) -> None:
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="operation", value=operation)
        for key, text in dimensions.items():
            metric.add_dimension(name=key, value=text)
