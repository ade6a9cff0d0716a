"""Models over HTTP: requests, concurrency, endpoints, and files of models."""
