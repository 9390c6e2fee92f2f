from __future__ import annotations

from pathlib import Path

import pytest

from trainer import scratch
from trainer.scratch import folder_exceeds


def test_the_files_of_all_folders_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("one", "deep/two", "deep/er/three"):
        (tmp_path / name).write_bytes(b"x" * (1 << 20))

    assert folder_exceeds(tmp_path, 5 << 19)
    assert not folder_exceeds(tmp_path, 1 << 23)


def test_what_a_link_leads_to_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "root").symlink_to("/")

    assert not folder_exceeds(tmp_path, 1 << 20)


def test_a_folder_that_is_gone_is_empty(tmp_path: Path) -> None:
    assert not folder_exceeds(tmp_path / "gone", 0)


def test_too_many_files_are_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "FILES_LIMIT", 3)
    for number in range(4):
        (tmp_path / str(number)).touch()

    assert folder_exceeds(tmp_path, 1 << 30)
