import pytest

from modelstation.core.artifacts import ArtifactError, verify, write_artifact


def write(target, text="hello"):
    return write_artifact(
        target, lambda folder: (folder / "a.txt").write_text(text), kind="test", facts={"n": 1}
    )


def test_an_artifact_is_whole_and_verifies(tmp_path):
    manifest = write(tmp_path / "art")
    assert manifest["facts"] == {"n": 1}
    assert [file["path"] for file in manifest["files"]] == ["a.txt"]
    assert verify(tmp_path / "art") == manifest


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path):
    def fill(folder):
        (folder / "half").write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_artifact(tmp_path / "art", fill, kind="test", facts={})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_replacing_keeps_the_old_artifact(tmp_path):
    write(tmp_path / "art", "old")
    with pytest.raises(ZeroDivisionError):
        write_artifact(tmp_path / "art", lambda folder: 1 / 0, kind="test", facts={})
    verify(tmp_path / "art")
    assert (tmp_path / "art" / "a.txt").read_text() == "old"


def test_replacing_leaves_only_the_new(tmp_path):
    write(tmp_path / "art", "old")
    write(tmp_path / "art", "new")
    assert (tmp_path / "art" / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["art"]


def test_a_changed_file_is_named(tmp_path):
    write(tmp_path / "art")
    (tmp_path / "art" / "a.txt").write_text("hacked")
    with pytest.raises(ArtifactError, match=r"a\.txt has changed"):
        verify(tmp_path / "art")


def test_a_missing_file_is_named(tmp_path):
    write(tmp_path / "art")
    (tmp_path / "art" / "a.txt").unlink()
    with pytest.raises(ArtifactError, match=r"a\.txt is missing"):
        verify(tmp_path / "art")
