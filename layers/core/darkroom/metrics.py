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


def count_in_stack(name: str, stack: str, **dimensions: str) -> None:
    """Adds one to a counter of a whole stack."""
    _emit_with(name, 1, MetricUnit.Count, {"stack": stack} | dimensions)


def gauge_of_stack(name: str, value: float, stack: str) -> None:
    """Records a current value of a whole stack. Alarms watch these."""
    _emit_with(name, value, MetricUnit.Count, {"stack": stack})


def age_of_stack(name: str, seconds: float, stack: str) -> None:
    """Records a current age in a whole stack."""
    _emit_with(name, seconds, MetricUnit.Seconds, {"stack": stack})


def _emit(name: str, value: float, unit: MetricUnit, operation: str, dimensions: dict[str, str]) -> None:
    _emit_with(name, value, unit, {"operation": operation} | dimensions)


def _emit_with(name: str, value: float, unit: MetricUnit, dimensions: dict[str, str]) -> None:
    with single_metric(name=name, unit=unit, value=value, namespace=NAMESPACE) as metric:
        for key, text in dimensions.items():
            metric.add_dimension(name=key, value=text)
