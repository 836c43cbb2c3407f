"""Table 2 of the paper: one segmentation network on HR, on bicubic interpolation and on the output of each method."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from datasets_prep.common.files import make_folder, refuse_foreign, refuse_foreign_results, sha256_of, write_file
from datasets_prep.common.png import encode_png
from datasets_prep.common.processes.progress import progress_bar
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.evaluation.nuclei.downstream_fidelity import (
    Pictures,
    nuclei_in,
    read_written,
    write_downstream_fidelity,
)
from mihatp_arch.evaluation.nuclei.downstream_images import SET, TestImage, find_images, patients_of
from mihatp_arch.evaluation.nuclei.downstream_options import DownstreamOptions
from mihatp_arch.evaluation.nuclei.downstream_rows import HR, DownstreamRow, find_rows
from mihatp_arch.evaluation.nuclei.downstream_scores import score
from mihatp_arch.evaluation.nuclei.downstream_tables import RowScores, write_tables
from mihatp_arch.evaluation.nuclei.fidelity_report import refuse_foreign_fidelity
from mihatp_arch.evaluation.nuclei.segmenter import Segmented, Segmenter, load_segmenter
from mihatp_arch.inference.outputs import refuse_no_folder, refuse_unwritable
from mihatp_arch.metrics.images import RGBImage
from mihatp_arch.nuclei.coded_labels import decode, encode

_MARK = b"method,scale,kernel,"  # the beginning of both CSV files


def run_downstream(options: DownstreamOptions, output: Path, say: Callable[[str], object]) -> Path:
    """Make Table 2 in the folder `output`, and return its Markdown file.

    Pictures and label maps that are there already, of the same image, network and segmentation network, are taken as
    they are: a run that was stopped continues.

    Raises:
        UserError: data or networks cannot be used, or `output` cannot be written.
    """
    refuse_no_folder(output)
    refuse_unwritable(output)
    refuse_foreign_results(output, "table2.csv", _MARK, "table2.md", "table2.tex", "downstream.html")
    refuse_foreign(output / "downstream_images.csv", _MARK)
    images = find_images(options.data)
    for image in images:
        image.check(options.scales)
    segmenter = load_segmenter(options.segmenter, window=options.window)
    rows = find_rows(options, say)
    names = [image.name for image in images]
    for scale in options.scales:
        methods = (row.method for row in rows if row.scale == scale)
        refuse_foreign_fidelity(_fidelity_folder(output, scale), methods, images=names)
    scores = [RowScores(row, {}) for row in rows]
    files: dict[str, list[Pictures]] = {row.name: [] for row in rows}
    total = len(rows) * len(images)
    with progress_bar(total=total, desc="nuclei", unit="image") as bar:
        for image in images:
            hr, labels, types = image.read(options.scales)
            content = f"{segmenter.identity}\n{sha256_of(image.tissue)}\n{hr.shape}"
            true = Segmented(labels, types if types.any() else None)
            on_hr = None
            for of_row in scores:
                bar.set_postfix_str(of_row.row.name)
                written = _written(of_row.row, image, hr, segmenter, output / of_row.row.name, content)
                files[of_row.row.name].append(written)
                decoded, kinds = decode(read_written(written.labels))
                pred = Segmented(decoded, kinds if segmenter.classifies else None)
                on_hr = on_hr or pred  # HR is the first row
                of_row.images[image.name] = score(true, pred, on_hr, radius=options.radius)
                bar.update()
    patients = patients_of(images).of[SET]
    on_scan = [nuclei_in(pictures) for pictures in files[HR]]
    for scale in options.scales:
        methods = {row.method: files[row.name] for row in rows if row.scale == scale}
        folder = _fidelity_folder(output, scale)
        write_downstream_fidelity(folder, patients, files[HR], on_scan, methods, segmenter.kinds)
    try:
        return write_tables(scores, images, options, segmenter.about, output)
    except OSError as error:
        raise UserError(f"cannot write into '{output}': {reason_of(error)}") from error


def _fidelity_folder(output: Path, scale: int) -> Path:
    return output / f"fidelity_x{scale}"


def _written(
    row: DownstreamRow, image: TestImage, hr: RGBImage, segmenter: Segmenter, folder: Path, content: str
) -> Pictures:
    """The row's picture and its nuclei, as PNG in `folder`; `content` is all that they depend on besides the row."""
    digest = sha256(f"{row.identity}\n{content}".encode()).hexdigest()[:12]
    picture, labels = (folder / f"{image.name}_{digest}{end}.png" for end in ("", "_nuclei"))
    if not (picture.is_file() and labels.is_file()):
        sr = row.picture(hr)
        nuclei = segmenter.segment(sr)
        for file, pixels in ((picture, sr), (labels, encode(nuclei.labels, nuclei.types))):
            _write_png(file, pixels)  # the label map last: it says that both are whole
    return Pictures(picture, labels)


def _write_png(path: Path, rgb: RGBImage) -> None:
    try:
        make_folder(path.parent)
        write_file(path, encode_png(rgb))
    except OSError as error:
        raise UserError(f"cannot write '{path}': {reason_of(error)}") from error
