from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SettingsError
from app.settings import HELP, describe, environment, fields, load, summary, to_env
from models.settings import SECRETS, Settings, SyncSettings


def faults(env, toml_path=None):
    with pytest.raises(SettingsError) as caught:
        load(env, toml_path)
    return caught.value.faults


def toml(tmp_path, text):
    path = tmp_path / "ebbtide.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_nothing_given_is_the_defaults():
    """Without file and environment every setting has its default."""
    assert load({}) == Settings()


def test_environment_wins_over_file_over_default(tmp_path):
    """The environment is stronger than the file, the file stronger than the default."""
    path = toml(tmp_path, "data_dir = 'there'\n[label]\nhorizon_days = 14\nmax_pending = 3\n")

    settings = load({"EBBTIDE_LABEL_HORIZON_DAYS": "21", "EBBTIDE_CONFIG": path})

    assert (settings.data_dir, settings.label.horizon_days, settings.label.max_pending) == ("there", 21.0, 3)


def test_an_explicit_file_replaces_the_one_in_the_environment(tmp_path):
    """`--config` is stronger than EBBTIDE_CONFIG."""
    path = toml(tmp_path, "[broker]\npartitions = 7\n")

    assert load({"EBBTIDE_CONFIG": "/missing.toml"}, path).broker.partitions == 7


def test_broker_alias_sets_the_bootstrap():
    """EBBTIDE_BROKER is short for EBBTIDE_BROKER_BOOTSTRAP."""
    assert load({"EBBTIDE_BROKER": "kafka:9092,[::1]:9093"}).broker.bootstrap == "kafka:9092,[::1]:9093"


def test_two_different_brokers_are_refused():
    """The alias and the full name must not contradict each other."""
    found = faults({"EBBTIDE_BROKER": "a:1", "EBBTIDE_BROKER_BOOTSTRAP": "b:1"})

    assert found == ("EBBTIDE_BROKER and EBBTIDE_BROKER_BOOTSTRAP differ: 'a:1' and 'b:1'; set one",)


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("EBBTIDE_BROKER_CREATE_TOPICS", "no", False),
        ("EBBTIDE_BROKER_CREATE_TOPICS", "TRUE", True),
        ("EBBTIDE_EVENTS_MAX_BYTES", "2_000_000", 2_000_000),
        ("EBBTIDE_LABEL_HORIZON_DAYS", " 7.5 ", 7.5),
        ("EBBTIDE_LABEL_KIND", "inactivity", "inactivity"),
        ("EBBTIDE_LABEL_ACTIVITY_EVENTS", "Order Completed, page", ("Order Completed", "page")),
        ("EBBTIDE_LABEL_ACTIVITY_EVENTS", '["One, with comma"]', ("One, with comma",)),
    ],
)
def test_text_becomes_the_type_of_the_setting(variable, text, expected):
    """Every kind of setting can be written in an environment variable."""
    name = environment()[variable].name
    section, _, key = name.partition(".")

    assert getattr(getattr(load({variable: text}), section), key) == expected


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("EBBTIDE_HTTP_WORKER_PORT", "65536", "a whole number from 0 to 65 535"),
        ("EBBTIDE_HTTP_WORKER_PORT", "http", "a whole number from 0 to 65 535"),
        ("EBBTIDE_LABEL_HORIZON_DAYS", "0", "a number above 0"),
        ("EBBTIDE_LABEL_HORIZON_DAYS", "nan", "a number above 0"),
        ("EBBTIDE_LABEL_HORIZON_DAYS", "inf", "a number above 0"),
        ("EBBTIDE_LABEL_KIND", "leaving", "cancellation, inactivity"),
        ("EBBTIDE_BROKER_CREATE_TOPICS", "maybe", "true or false"),
        ("EBBTIDE_LABEL_ACTIVITY_EVENTS", "[1]", "a list of names, comma separated or as a JSON array"),
        ("EBBTIDE_LOG_LEVEL", "loud", "debug, info, warning, error"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(variable, text, allowed):
    """A value of wrong type or range names setting, value, origin and what is allowed."""
    name = environment()[variable].name

    assert faults({variable: text}) == (f"{name} = {text!r} (from {variable}): allowed: {allowed}",)


@pytest.mark.parametrize(
    ("env", "part"),
    [
        ({"EBBTIDE_SCORE_HIGH_FROM": "0.7"}, "allowed: 0 < medium < high < critical <= 1"),
        ({"EBBTIDE_BROKER": "kafka"}, "'kafka' is not host:port"),
        ({"EBBTIDE_BROKER": "kafka:99999"}, "'kafka:99999' is not host:port"),
        ({"EBBTIDE_BROKER_TOPIC_PREFIX": "a b"}, "letters, digits"),
        ({"EBBTIDE_BROKER_SECURITY_PROTOCOL": "SASL_SSL"}, "needs broker.sasl_username"),
        ({"EBBTIDE_EVENTS_EARLIEST": "1990-01-01"}, "ISO-8601 time with its zone"),
        ({"EBBTIDE_SYNC_RETRY_BASE_S": "400"}, "is above sync.retry_cap_s"),
        ({"EBBTIDE_LABEL_CANCELLATION_EVENTS": ""}, "needs at least one event name"),
        ({"EBBTIDE_TRAINER_MIN_POSITIVES": "201"}, "is above trainer.min_labels"),
        ({"EBBTIDE_HTTP_SYNC_PORT": "8601"}, "is already http.worker_port"),
        ({"EBBTIDE_HTTP_PEERS": "console=http://c:1"}, "allowed: worker, trainer, warehouse or sync"),
        ({"EBBTIDE_SYNC_WEBHOOK_URL": "ftp://host/"}, "allowed: an http:// or https:// address"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(env, part):
    """Forms and relations that a type cannot say are checked too."""
    (fault,) = faults(env)

    assert part in fault


def test_free_ports_may_repeat():
    """Port 0 is no conflict: each server takes a free one."""
    ports = {f"EBBTIDE_HTTP_{name}_PORT": "0" for name in ("CONSOLE", "WORKER", "TRAINER", "WAREHOUSE", "SYNC")}

    assert load(ports).http.worker_port == 0


def test_all_faults_come_at_once(tmp_path):
    """File, environment and relations are all checked before anything is refused."""
    path = toml(tmp_path, "nonsense = 1\n[label]\nhorizon_day = 3\nkind = 5\n")

    found = "\n".join(faults({"EBBTIDE_SCORE_MIN_CHANGE": "2", "EBBTIDE_HTTP_SYNC_PORT": "8601"}, path))

    parts = ("'nonsense'", "did you mean 'label.horizon_days'?", "label.kind = 5", "score.min_change", "http.sync_port")
    assert [part for part in parts if part not in found] == []


def test_an_unknown_variable_is_refused_with_the_nearest_and_all_known():
    """A misspelt variable is not ignored, and the answer is in the message."""
    unknown, known = faults({"EBBTIDE_LABLE_KIND": "inactivity"})

    assert unknown == "unknown environment variable 'EBBTIDE_LABLE_KIND'; did you mean 'EBBTIDE_LABEL_KIND'?"
    assert [name for name in environment() if name not in known] == []


def test_an_unknown_key_lists_all_known_keys(tmp_path):
    """A misspelt key of the file is refused with every key there is."""
    _, known = faults({}, toml(tmp_path, "[labels]\nkind = 'inactivity'\n"))

    assert known == f"known keys: {', '.join(fields())}"


def test_variables_of_others_and_of_the_tests_are_left_alone():
    """Only EBBTIDE_ names are ours, and EBBTIDE_TEST_ ones are for tests."""
    assert load({"PATH": "/bin", "EBBTIDE_TEST_KAFKA": "1"}) == Settings()


@pytest.mark.parametrize("text", ["not toml at all", "[label]\nkind = 'a'\nkind = 'b'\n"])
def test_a_broken_file_is_one_fault(tmp_path, text):
    """A file that is not TOML is refused with its name."""
    path = toml(tmp_path, text)

    (fault,) = faults({}, path)

    assert fault.startswith(f"settings file {path!r} is not TOML: ")


def test_a_missing_file_is_one_fault(tmp_path):
    """A file that cannot be read is refused with its name."""
    path = str(tmp_path / "none.toml")

    assert faults({}, path) == (f"cannot read settings file {path!r}: no such file or directory",)


def test_a_secret_can_come_from_a_file(tmp_path):
    """A secret file's content, without the line end, is the secret."""
    (tmp_path / "secret").write_text("whsec_abc\n", "utf-8")

    settings = load({"EBBTIDE_SYNC_WEBHOOK_SECRET_FILE": str(tmp_path / "secret")})

    assert settings.sync.webhook_secret == "whsec_abc"


def test_secret_file_faults_never_show_a_secret(tmp_path):
    """A missing, empty or doubled secret file is refused without its content."""
    (tmp_path / "empty").write_text(" \n", "utf-8")
    (tmp_path / "secret").write_text("whsec_abc", "utf-8")
    variable = "EBBTIDE_SYNC_WEBHOOK_SECRET_FILE"

    found = [
        *faults({variable: str(tmp_path / "none")}),
        *faults({variable: str(tmp_path / "empty")}),
        *faults({variable: str(tmp_path / "secret"), "EBBTIDE_SYNC_WEBHOOK_SECRET": "whsec_other"}),
    ]

    assert [fault for fault in found if "whsec_" in fault] == []
    assert len(found) == 3


def test_a_wrong_secret_is_masked_in_the_fault(tmp_path):
    """Even a secret of the wrong type does not appear in the message."""
    (fault,) = faults({}, toml(tmp_path, "[sync]\nwebhook_secret = 123456\n"))

    assert fault.startswith("sync.webhook_secret = *** (from ")
    assert "123456" not in fault


def test_every_setting_has_help_and_every_help_a_setting():
    """The table of meanings is complete and holds nothing else."""
    assert sorted(HELP) == sorted(fields())
    assert [name for name, text in HELP.items() if not text.endswith((".", ").")) or len(text) < 20] == []


def test_help_of_durations_and_sizes_names_the_unit():
    """A setting measured in seconds, days or bytes says so in its text."""
    units = {"_s": "econds", "_days": "ays", "_bytes": "bytes"}
    missing = [n for n, text in HELP.items() for end, unit in units.items() if n.endswith(end) and unit not in text]

    assert missing == []


def test_secrets_are_masked_everywhere():
    """Table, log line and repr show that a secret is set, never what it is."""
    settings = Settings(sync=SyncSettings(webhook_secret="whsec_abc", webhook_url="https://u:pw@host/p?key=k1"))

    shown = "\n".join([repr(settings), str(settings), str(describe(settings)), summary(settings)])

    assert "whsec_abc" not in shown
    assert "pw@" not in summary(settings)
    assert "k1" not in summary(settings)
    assert {row.value for row in describe(settings) if row.name in SECRETS} == {"", "***"}


def test_summary_names_what_was_changed():
    """The log line at the start holds what is not the default."""
    assert summary(Settings()) == "all defaults"
    assert summary(load({"EBBTIDE_BROKER_PARTITIONS": "8"})) == "broker.partitions=8"


_NAMES = st.lists(st.text(min_size=1, max_size=8).filter(lambda text: text.strip() == text), min_size=1, max_size=3)


@given(
    horizon=st.floats(min_value=1e-6, max_value=1e6),
    names=_NAMES,
    create=st.booleans(),
    partitions=st.integers(min_value=1, max_value=10_000),
)
def test_settings_survive_the_way_through_the_environment(horizon, names, create, partitions):
    """What a supervisor hands to a role is exactly what it has itself."""
    base = Settings()
    label = msgspec.structs.replace(base.label, horizon_days=horizon, cancellation_events=tuple(names))
    broker = msgspec.structs.replace(base.broker, create_topics=create, partitions=partitions)
    settings = msgspec.structs.replace(base, label=label, broker=broker)

    assert load(to_env(settings)) == settings


DESTINATIONS = """
[destinations.crm]
type = "segment"
write_key = { env = "CRM_KEY" }
[destinations.crm.fields]
churn = "probability | round(1)"
"""


def test_destinations_are_tables_by_name(tmp_path):
    """A destination's table is taken whole, its secret stays a reference, and children get the same by environment."""
    settings = load({}, toml(tmp_path, DESTINATIONS))
    table = settings.destinations["crm"]

    assert table["write_key"] == {"env": "CRM_KEY"}
    assert table["fields"] == {"churn": "probability | round(1)"}
    assert load(to_env(settings)) == settings
    assert "crm (segment)" in summary(settings)


def test_faults_of_destinations_are_told_with_the_others(tmp_path):
    """A wrong option of a destination is a fault like any other, together with the rest."""
    text = DESTINATIONS.replace("segment", "segmen") + "[label]\nkind = 5\n"
    found = faults({}, toml(tmp_path, text))

    assert [fault for fault in found if fault.startswith("destinations.crm.type")] != []
    assert [fault for fault in found if fault.startswith("label.kind")] != []
    assert faults({"EBBTIDE_DESTINATIONS": "no json"}) != ()
    assert faults({"EBBTIDE_DESTINATIONS": '{"a": 5}'}) != ()
