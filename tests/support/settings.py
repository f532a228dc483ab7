"""Values for the settings that have no default. They name nothing that exists."""

REQUIRED_SETTINGS = {
    "DARKROOM_BUCKET": "a-bucket",
    "DARKROOM_CACHE_URL": "redis://localhost:6379/0",
    "DARKROOM_BROKER_URL": "amqp://localhost:5672/%2F",
    "DARKROOM_BROKER_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:broker",
    "DARKROOM_FUNCTION_PREFIX": "darkroom",
}
