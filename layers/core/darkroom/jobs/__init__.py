"""The life of a job, from the upload to its result."""
