from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway.service.scratch import scratch_folder

#: Opens a folder, writes into it, says its name, and waits to be killed.
HOLDS = """
import sys, time
from pathlib import Path
from gateway.service.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "adapter").write_text("learned from private text")
    print(folder, flush=True)
    time.sleep(600)
"""


def folders(parent: Path) -> set[Path]:
    return {path for path in parent.iterdir() if path.is_dir()}


def test_it_is_gone_at_the_end(tmp_path: Path) -> None:
    parent = tmp_path / "cache" / "offsets"
    with scratch_folder(parent) as folder:
        (folder / "adapter").write_text("x")
        assert folders(parent) == {folder}
        assert folder.stat().st_mode & 0o077 == 0
    assert folders(parent) == set()


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        with scratch_folder(tmp_path) as mine, scratch_folder(tmp_path) as second:
            assert folders(tmp_path) == {theirs, mine, second}
        other.kill()
    assert (theirs / "adapter").exists()
    with scratch_folder(tmp_path) as mine:
        assert folders(tmp_path) == {mine}


def test_a_folder_without_a_lock_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "4711").mkdir()
    with scratch_folder(tmp_path) as mine:
        assert folders(tmp_path) == {mine}
