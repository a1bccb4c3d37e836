"""What machines ask of the site: whether it lives, whether it may be sent requests, and its gauges for Prometheus."""
