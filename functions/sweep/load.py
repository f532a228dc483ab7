"""Reports the load as metrics."""

import time

from darkroom import ids, metrics
from darkroom.config import settings
from darkroom.services import rabbitmq
from darkroom.services.redis import memory, open_jobs, slots, views


def report_jobs(_deadline: float) -> int:
    """Reports how many jobs are in flight and queued, the age of the oldest queued job, and the cache's memory.

    Returns 1.
    """
    for operation, running in slots.in_flight().items():
        metrics.gauge("in_flight", running, operation)
        metrics.gauge("waiting", views.count_queued(operation), operation)
    created_ms = [ids.created_ms(job.job_id) for job in open_jobs.oldest_queued().values() if job is not None]
    oldest_s = time.time() - min(created_ms) / 1000 if created_ms else 0.0
    metrics.age_of_stack("oldest_waiting", max(0.0, oldest_s), settings().function_prefix)
    metrics.gauge_of_stack("cache_used_percent", 100 * memory.memory_use().share, settings().function_prefix)
    return 1


def report_queues(_deadline: float) -> int:
    """Reports how many messages are dead-lettered and parked. Returns 1."""
    depths = rabbitmq.depths()
    stack = settings().function_prefix
    metrics.gauge_of_stack("dead_messages", depths[rabbitmq.DEAD_QUEUE], stack)
    metrics.gauge_of_stack("parked_messages", depths[rabbitmq.PARKED_QUEUE], stack)
    return 1
