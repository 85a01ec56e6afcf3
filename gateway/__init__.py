"""The service: OpenAI's API over vLLM, with the adapters of the active unlearning requests applied."""
