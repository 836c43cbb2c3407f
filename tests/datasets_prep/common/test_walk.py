"""Every file below a folder: links to folders are entered, a loop of links ends."""

from datasets_prep.common.walk import walk


def names(folder, **options):
    return sorted(name.as_posix() for _, name in walk(folder, **options))


def test_linked_folders_are_entered_once(tmp_path):
    far, top = tmp_path / "far", tmp_path / "top"
    for folder in (far / "deep", top / "own", top / ".hidden"):
        folder.mkdir(parents=True)
    for file in (far / "deep" / "a", top / "own" / "b", top / ".hidden" / "c", top / ".d"):
        file.touch()
    (top / "again").symlink_to(top / "own")  # comes before `own`, whose name counts
    (top / "more").symlink_to(far)
    (top / "more again").symlink_to(far)
    (far / "loop").symlink_to(top)
    (far / "deep" / "self").symlink_to(far / "deep")
    (top / "knot").symlink_to(top / "knot")
    (top / "gone").symlink_to("/nowhere/gone")
    assert names(top) == ["gone", "knot", "more/deep/a", "own/b"]
    assert names(top, hidden=True) == [".d", ".hidden/c", "gone", "knot", "more/deep/a", "own/b"]
