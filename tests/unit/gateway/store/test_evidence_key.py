from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.evidence.errors import InvalidKey
from gateway.settings import Settings
from gateway.store.evidence_key import KEY_FILE, EvidenceKeys
from gateway.store.secret_file import UnsafeSecretFile, replace_secret
from tests.unit.gateway.evidence.samples import signing_key
from tests.unit.gateway.service.log_host import seed


def publics(keys: EvidenceKeys) -> list[Any]:
    return [key.public() for key in keys.load()]


def test_a_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    made = publics(EvidenceKeys(settings))
    assert publics(EvidenceKeys(settings)) == made
    assert stat.S_IMODE((tmp_path / "new" / KEY_FILE).stat().st_mode) == 0o600


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    keys = EvidenceKeys(Settings(data_dir=tmp_path))
    before = keys.load()
    assert keys.load() is before
    replace_secret(tmp_path / KEY_FILE, f"{seed(2)}\n{seed(1)}")
    assert publics(keys) == [signing_key(2).public(), signing_key(1).public()]
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(UnsafeSecretFile):
        keys.load()


def test_a_setting_goes_before_the_file(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, evidence_key=f"{seed(2)}, {seed(1)}")  # type: ignore[arg-type]
    assert publics(EvidenceKeys(settings)) == [signing_key(2).public(), signing_key(1).public()]
    assert not (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize("text", [",", "x", "AAAA", f"{seed(1)},{seed(2)},{seed(3)}", f"{seed(1)};{seed(2)}"])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidKey):
        EvidenceKeys(Settings(data_dir=tmp_path, evidence_key=text)).load()  # type: ignore[arg-type]
