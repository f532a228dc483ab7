"""Clients of the services: S3, RabbitMQ, Redis, AWS."""
