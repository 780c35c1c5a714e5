"""`python -m tests.chaos`: a chaos run on an Apache Kafka of its own, which is killed and restarted, too."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile

import msgspec

from app.chaos.run import Options, chaos_settings, run
from app.errors import AppError
from models.settings import BrokerSettings, Settings
from tests.brokers import KafkaServer, kafka_jars


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for field in msgspec.structs.fields(Options):
        if field.type is bool:
            parser.add_argument(f"--{field.name}", action="store_true")
        else:
            kind = int if field.type is int else str
            parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    options = Options(**vars(parser.parse_args()))
    folder = tempfile.mkdtemp(prefix="ebbtide-chaos-")
    with KafkaServer(kafka_jars()) as server:
        settings = Settings(data_dir=folder, broker=BrokerSettings(bootstrap=server.bootstrap))
        try:
            status = run(chaos_settings(settings), options, server)
        except AppError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
    if status == 0:
        # Logs are worth keeping only where they explain something.
        shutil.rmtree(folder)
    return status


if __name__ == "__main__":
    sys.exit(main())
