"""`python -m tests.bench.models`: compare the models, print each table, and write MODELS.md after a whole run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streams.sources.event import SourceError
from tests.bench.models.run import PARTS, RESULTS, Plan, page, run


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.models", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="batch models learn one in N days (1: all)")
    parser.add_argument("--cdnow", default="", metavar="PATH", help="CDNOW_master.txt, else that of package lifetimes")
    parser.add_argument("--cache", type=Path, default=Path("data/.bench"), metavar="PATH", help="environments of peers")
    parser.add_argument("--write", action="store_true", help="renew these parts in MODELS.md, as a run of all does")
    args = parser.parse_args(argv)
    parts = tuple(args.only.split(","))
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--only {sorted(unknown)}: allowed: {', '.join(PARTS)}")
    try:
        tables = run(Plan(parts, args.every, args.cdnow, args.cache.resolve()))
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    if args.write or parts == tuple(PARTS):
        RESULTS.write_text(page(tables, RESULTS.read_text() if RESULTS.exists() else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
