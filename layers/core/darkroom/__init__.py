"""Darkroom's shared package: the life of a job, from the request that accepts it to the object that ends it."""
