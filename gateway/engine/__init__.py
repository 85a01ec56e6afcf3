"""The engine: the only package of the gateway that imports vllm.

`model` and `worker_extension` run inside vLLM's workers; `client`, `residency` and `slots` run in the service.
"""
