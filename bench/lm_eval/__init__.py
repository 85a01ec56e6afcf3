"""Tasks for EleutherAI's lm-evaluation-harness: `lm-eval run --include_path bench/lm_eval`. See docs/lm-eval.md."""
