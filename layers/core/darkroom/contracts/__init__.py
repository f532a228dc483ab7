"""What the parts of the service exchange: operations with their parameters, jobs, messages, results."""
