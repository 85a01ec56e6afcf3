"""vLLM's own OpenAI server, nothing of ours: what the gateway is compared with."""

from __future__ import annotations

import sys

from vllm.entrypoints.launchers.api_server.entry import run_server
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser


def main() -> None:
    """`python -m bench.bare_vllm` takes vLLM's own arguments."""
    import uvloop

    args = make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:])
    validate_parsed_serve_args(args)
    uvloop.run(run_server(args))


if __name__ == "__main__":
    main()
