from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from app.cli import build_parser, main
from app.commands import COMMANDS
from app.output import ToFiles
from app.probe import addresses
from app.settings import fields
from app.up import role_group
from tests.app.tools import child_env, free_ports


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch):
    """Commands see no variables of the developer's shell."""
    for name in [name for name in os.environ if name.startswith("EBBTIDE_")]:
        monkeypatch.delenv(name)


def run(*argv, **env):
    """Run the program as its users do."""
    command = (sys.executable, "-m", "app.cli", *argv)
    return subprocess.run(command, env=child_env() | env, capture_output=True, text=True, timeout=60, check=False)


def exit_of(*argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    return caught.value.code


def test_help_lists_every_command(capsys):
    """`ebbtide --help` shows each command with its summary."""
    code = exit_of("--help")

    text = capsys.readouterr().out
    assert code == 0
    assert [command.name for command in COMMANDS if not re.search(rf"^    {command.name} ", text, re.MULTILINE)] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_an_example_that_parses(command, capsys):
    """The example in a command's help is accepted by its own parser."""
    assert exit_of(command.name, "--help") == 0
    assert command.example in capsys.readouterr().out

    words = [word for word in shlex.split(command.example) if not word.startswith("EBBTIDE_")]
    assert build_parser().parse_args(words[1:]).command == command.name
    assert words[0] == "ebbtide"


def test_common_options_work_before_and_after_the_command(tmp_path):
    """`--config` and `--log-level` may stand on either side."""
    for argv in (
        ["--config", "x", "--log-level", "debug", "settings"],
        ["settings", "--config", "x", "--log-level", "debug"],
    ):
        args = build_parser().parse_args(argv)
        assert (args.config, args.log_level) == ("x", "debug")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["topics"], "the following arguments are required: action"),
        ([], "the following arguments are required: COMMAND"),
        (["demo", "--customers", "0"], "'0': allowed: a whole number above 0"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(argv, said, capsys):
    """A wrong command line is refused in one line that says where help is."""
    code = exit_of(*argv)

    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1)
    assert said in error
    assert "--help" in error


def test_settings_faults_are_a_line_each_and_exit_2():
    """Wrong settings end the program before anything is started."""
    result = run("settings", EBBTIDE_LABLE_KIND="x", EBBTIDE_HTTP_WORKER_PORT="-1")

    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert [line for line in result.stderr.splitlines() if not line.startswith("ebbtide: ")] == []
    assert "did you mean 'EBBTIDE_LABEL_KIND'?" in result.stderr
    assert "http.worker_port = '-1'" in result.stderr


def test_without_a_broker_a_role_says_what_to_do(tmp_path):
    """No broker is a usage error, in one line."""
    result = run("worker", EBBTIDE_DATA_DIR=str(tmp_path))

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("ebbtide: no broker: set EBBTIDE_BROKER or start `ebbtide up`")
    assert result.stderr.count("\n") == 1


def test_an_unreachable_broker_is_one_line_and_exit_1(tmp_path):
    """A command that cannot reach its broker fails without a traceback."""
    result = run("topics", "check", EBBTIDE_BROKER="127.0.0.1:1", EBBTIDE_BROKER_REQUEST_TIMEOUT_S="1")

    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("ebbtide: cannot list or create topics on '127.0.0.1:1'")


def test_settings_as_json_hold_every_setting_masked(capsys, monkeypatch):
    """`ebbtide settings --json` lists all settings and hides secrets."""
    monkeypatch.setenv("EBBTIDE_SYNC_WEBHOOK_SECRET", "whsec_abc")

    assert main(["settings", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(fields())
    assert rows["sync.webhook_secret"]["value"] == "***"
    assert rows["label.horizon_days"]["env"] == "EBBTIDE_LABEL_HORIZON_DAYS"


def test_settings_as_text_are_one_line_each(capsys, tmp_path):
    """Not on a terminal, `ebbtide settings` writes lines that grep can use."""
    path = tmp_path / "e.toml"
    path.write_text("[broker]\npartitions = 12\n")

    assert main(["--config", str(path), "settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(fields())
    assert any(line.startswith("broker.partitions = 12  [EBBTIDE_BROKER_PARTITIONS, default 4]") for line in lines)


def test_a_closed_pipe_is_no_crash():
    """A reader that has enough (head, less) ends the program without a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    command = (sys.executable, "-m", "app.cli", "settings")
    result = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, env=child_env(), text=True, timeout=60, check=False
    )
    os.close(writer)

    assert (result.returncode, result.stderr) == (1, "")


def test_version_is_told(capsys):
    """`ebbtide --version` names the program."""
    assert exit_of("--version") == 0
    assert capsys.readouterr().out.startswith("ebbtide ")


def test_roles_are_commands(tmp_path):
    """What the supervisor starts are commands that the command line knows."""
    group = role_group(free_ports(tmp_path), ToFiles(tmp_path))

    for role in group.names:
        assert build_parser().parse_args([role, "--supervised"]).command == role
    assert group.names == tuple(role for role, _ in addresses(free_ports(tmp_path)))
