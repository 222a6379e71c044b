"""The settings: where each is from, and how bad ones are refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from forebay.config.kinds import Share
from forebay.config.sections import Setting, every_setting
from forebay.config.settings import Settings, load_settings
from forebay.model.errors import BadConfiguration
from forebay.namespace.options import Sync

HOME = {"HOME": "/home/someone"}


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "forebay.yaml"
    file.write_text(text)
    return file


def shown(settings: Settings) -> dict[str, tuple[str, str]]:
    return {s.name: (s.shown, s.origin) for s in settings.described()}


def test_without_a_file_everything_has_its_default() -> None:
    settings = load_settings(environment=HOME)

    assert settings.data == Path("/home/someone/.local/share/forebay")
    assert settings.file == Path("/home/someone/.config/forebay/forebay.yaml")
    assert settings.credentials == Path("/home/someone/.config/forebay/credentials")
    assert settings.doors.s3.host == "127.0.0.1"
    assert (settings.doors.s3.port, settings.doors.admin.port) == (7480, 7470)
    assert settings.cache.directory == settings.data / "shelf"
    assert settings.cache.quota == Share(25)
    assert settings.cache.reserve_bytes == 1 << 30
    assert settings.metadata.max_bytes == 2 << 30
    assert settings.metadata.sync == Sync(timedelta(seconds=30))
    assert settings.stores.file.allow == ()
    assert settings.state.url == f"sqlite:///{settings.data}/state/state.db"
    assert settings.state.master_key == f"{settings.data}/master.key"
    assert settings.logs.directory == settings.data / "logs"
    assert settings.root.uri is None
    assert {s.origin for s in settings.described()} == {"default"}
    assert settings.warnings() == ()


def test_each_value_tells_its_origin(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "# the cache\n"
        "cache:\n"
        "  directory: ~/fast disk\n"
        "  quota: 20GiB   # enough\n"
        "doors: {s3: {port: 0}}\n"
        "stores:\n"
        "  file:\n"
        "    allow:\n"
        "      - /srv/a\n"
        "      - ~/b\n"
        "metadata:\n",
    )
    environment = {
        **HOME,
        "FOREBAY_DOORS__ADMIN__PORT": "7999",
        "FOREBAY_CACHE__QUOTA": "30GiB",
        "FOREBAY_METADATA__SYNC": "never",
        "FOREBAY_CREDENTIALS": "~/keys",
        "FOREBAY_MASTER_KEY": "is nobody's setting",
    }

    settings = load_settings(file, data=tmp_path / "data", environment=environment)

    known = shown(settings)
    assert known["cache.directory"] == ("/home/someone/fast disk", f"{file}:3")
    assert known["cache.quota"] == ("30GiB", "FOREBAY_CACHE__QUOTA")
    assert known["doors.s3.port"] == ("0", f"{file}:5")
    assert known["doors.admin.port"] == ("7999", "FOREBAY_DOORS__ADMIN__PORT")
    assert known["stores.file.allow"] == ("/srv/a:/home/someone/b", f"{file}:8")
    assert known["metadata.sync"] == ("never", "FOREBAY_METADATA__SYNC")
    assert known["credentials"] == ("/home/someone/keys", "FOREBAY_CREDENTIALS")
    assert known["data"] == (f"{tmp_path}/data", "--data")
    assert known["logs.directory"] == (f"{tmp_path}/data/logs", "default")
    assert known["metadata.max_bytes"] == ("2GiB", "default")
    assert known["doors.s3.allow_plaintext"] == ("false", "default")


def test_the_file_is_named_by_the_environment_too(tmp_path: Path) -> None:
    file = written(tmp_path, "data: /srv/forebay\n")

    settings = load_settings(environment={**HOME, "FOREBAY_CONFIG": str(file)})

    assert settings.data == Path("/srv/forebay")
    assert settings.origin("data") == f"{file}:1"
    with pytest.raises(BadConfiguration, match="no such configuration file"):
        load_settings(tmp_path / "missing.yaml", environment=HOME)


def test_a_list_in_the_environment_is_written_as_in_path() -> None:
    settings = load_settings(environment={**HOME, "FOREBAY_STORES__FILE__ALLOW": "/a:/b"})

    assert settings.stores.file.allow == (Path("/a"), Path("/b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cashe:\n  quota: 1GiB\n",
            "{file}:2: cashe.quota: is no setting; did you mean 'cache.quota'",
        ),
        (
            "\ncache:\n  qouta: 1GiB\n",
            "{file}:3: cache.qouta: is no setting; did you mean 'cache.quota'",
        ),
        ("cache: 5\n", "{file}:1: cache: is a section"),
        ("doors:\n  s3:\n    port: {a: 1}\n", "{file}:3: doors.s3.port.a: is no setting; did you"),
        ("<<: 1\n", "{file}:1: <<: is no setting"),
        ("a: &a\n  b: *a\n", "is no YAML: found unconstructable recursive node"),
        (
            "cache:\n  quota: 1GiB\n  quota: 2GiB\n",
            "{file}:3: cache.quota: is given twice, in line 2",
        ),
        (
            "cache:\n  quota: much\n",
            "{file}:2: cache.quota: 'much' is not a size",
        ),
        ("cache:\n  quota: 0%\n", "cache.quota: '0%' is not"),
        ("cache:\n  quota: 101%\n", "cache.quota: '101%' is not"),
        ("cache:\n  reserve: -1\n", "cache.reserve: '-1' is not a size"),
        ("cache:\n  reserve: yes\n", "cache.reserve: 'true' is not"),
        (
            "cache:\n  directory: fast\n",
            "cache.directory: 'fast' is not an absolute",
        ),
        ("cache:\n  directory: null\n", "cache.directory: nothing is not"),
        (
            "doors:\n  s3:\n    port: 70000\n",
            "doors.s3.port: '70000' is not a whole",
        ),
        ("doors:\n  s3:\n    port: yes\n", "doors.s3.port: 'true' is not"),
        ("doors:\n  s3:\n    allow_plaintext: 1\n", "'1' is not true or false"),
        (
            "metadata:\n  sync: often\n",
            "metadata.sync: 'often' is not never, always",
        ),
        ("stores:\n  file:\n    allow: [/a, b]\n", "{file}:3: stores.file.allow: '/a:b' is not"),
        ("root:\n  uri: ftp://x\n", "root.uri: 'ftp://x' is not the URI"),
        ("data: ''\n", "{file}:1: data: '' is not an absolute path"),
        ("logs:\n  files: 1.5\n", "logs.files: '1.5' is not a whole number"),
        ("- a\n", "{file}:1: is no mapping"),
        ("a: [\n", "{file}:2: is no YAML"),
        ("data: !!python/name:os.system\n", "{file}:1: is no YAML"),
        ("a: \x00\n", "{file}: is no YAML"),
    ],
)
def test_a_bad_file_is_refused_with_line_setting_and_what_was_expected(
    tmp_path: Path, text: str, message: str
) -> None:
    file = written(tmp_path, text)

    with pytest.raises(BadConfiguration) as caught:
        load_settings(file, environment=HOME)

    assert message.format(file=file) in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "FOREBAY_DOORS__S3__PROT",
            "1",
            "FOREBAY_DOORS__S3__PROT: doors.s3.prot: is no setting",
        ),
        ("FOREBAY_DOORS__S3__PORT", "x", "FOREBAY_DOORS__S3__PORT: doors.s3.port: 'x' is not a"),
        ("FOREBAY_DATA", "here", "FOREBAY_DATA: data: 'here' is not an absolute"),
    ],
)
def test_a_bad_variable_is_refused_by_name(variable: str, text: str, message: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load_settings(environment={**HOME, variable: text})

    assert message in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "forebay.yaml"
    file.write_bytes(b"data: \xff\n")

    with pytest.raises(BadConfiguration, match="cannot be read"):
        load_settings(file, environment=HOME)


def test_a_password_is_masked_wherever_it_shows(tmp_path: Path) -> None:
    file = written(tmp_path, "state:\n  url: postgresql://forebay:hunter2@db/forebay\n")

    settings = load_settings(file, environment={**HOME, "AWS_SECRET_ACCESS_KEY": "hunter2"})

    assert settings.state.url == "postgresql://forebay:hunter2@db/forebay"
    assert shown(settings)["state.url"] == ("postgresql://forebay:***@db/forebay", f"{file}:2")
    assert "hunter2" not in repr(settings.described())
    assert "hunter2" not in repr(settings)
    assert settings.environment["AWS_SECRET_ACCESS_KEY"] == "hunter2"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "lake.example.org"])  # noqa: S104
def test_another_host_is_served_only_with_tls_or_when_plaintext_is_allowed(
    tmp_path: Path, host: str
) -> None:
    bare = written(tmp_path, f"doors:\n  s3:\n    host: '{host}'\n")
    with pytest.raises(BadConfiguration) as caught:
        load_settings(bare, environment=HOME)
    assert f"{bare}:3: doors.s3.host: '{host}' can be reached by other hosts" in str(caught.value)

    plain = load_settings(bare, environment={**HOME, "FOREBAY_DOORS__S3__ALLOW_PLAINTEXT": "true"})
    assert plain.warnings() == (
        f"The s3 door listens on {host} without TLS: who can read the network can read the files.",
    )

    secure = {
        "FOREBAY_DOORS__S3__TLS_CERTIFICATE": "/etc/cert.pem",
        "FOREBAY_DOORS__S3__TLS_KEY": "/etc/key.pem",
    }
    assert load_settings(bare, environment={**HOME, **secure}).warnings() == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_host_alone_needs_no_tls(host: str) -> None:
    settings = load_settings(environment={**HOME, "FOREBAY_DOORS__ADMIN__HOST": host})

    assert settings.doors.admin.host == host


def test_certificate_and_key_are_given_together() -> None:
    with pytest.raises(BadConfiguration, match=r"doors\.s3\.tls_key: is missing"):
        load_settings(environment={**HOME, "FOREBAY_DOORS__S3__TLS_CERTIFICATE": "/c"})


@pytest.mark.parametrize("setting", every_setting(), ids=lambda setting: setting.name)
def test_each_setting_says_what_it_means_and_what_is_expected(setting: Setting) -> None:
    assert setting.meaning.endswith(".")
    assert setting.kind.expected
    if setting.default_text:
        assert setting.kind.read(setting.default_text, "/home/someone") == setting.default


def test_nothing_may_be_said_where_nothing_is_the_default(tmp_path: Path) -> None:
    file = written(tmp_path, "root:\n  uri: null\n")

    assert load_settings(file, environment=HOME).root.uri is None


def test_what_is_shown_can_be_given(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, environment=HOME)
    environment = {
        f"FOREBAY_{s.name.upper().replace('.', '__')}": s.shown
        for s in settings.described()
        if s.shown
    }

    again = load_settings(environment={**HOME, **environment})

    assert again.sections == settings.sections
