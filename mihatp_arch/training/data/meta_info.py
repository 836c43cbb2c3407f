"""The file `meta_info_file` of a data set: the names of its HR images, one a line, as BasicSR's tools write them."""

from collections.abc import Sequence
from os import path as osp
from pathlib import Path

from mihatp_arch.errors import UserError


def read_names(file: str) -> list[str]:
    """The names in a `meta_info_file`: the first word of each line. Blank lines and spaces around it do not count.

    Raises:
        UserError: the file cannot be read, or names no image.
    """
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"the meta_info_file '{file}' cannot be read: {reason}") from error
    names = [words[0] for words in map(str.split, lines) if words]
    if not names:
        raise UserError(f"the meta_info_file '{file}' names no image: write one name a line")
    return names


def paired_paths(
    folders: Sequence[str], keys: Sequence[str], meta_info_file: str, filename_tmpl: str
) -> list[dict[str, str]]:
    """Stands in for `paired_paths_from_meta_info_file`: the paths `<key>_path` of LR and HR for each name in the file.

    Args:
        folders: of LR and of HR.
        keys: `lq` and `gt`.
        meta_info_file: names the HR images.
        filename_tmpl: the name of an LR image; `{}` stands for the name of the HR image without its ending.
    """
    (lq_folder, gt_folder), (lq, gt) = folders, keys
    paths = []
    for name in read_names(meta_info_file):
        stem, ending = osp.splitext(osp.basename(name))
        lq_path = osp.join(lq_folder, f"{filename_tmpl.format(stem)}{ending}")
        paths.append({f"{lq}_path": lq_path, f"{gt}_path": osp.join(gt_folder, name)})
    return paths
