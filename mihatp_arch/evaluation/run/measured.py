"""What the results in the folder of a benchmark were measured on: they count only as long as it is the same."""

import hashlib
import json
from pathlib import Path

from datasets_prep.common.files import sha256_of, write_file
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.evaluation.results.scores import read_images
from mihatp_arch.evaluation.run.plan import Plan


def check_measured(plan: Plan, folder: Path) -> None:
    """Refuse results of other pixels or of other given weights; else note those at hand in `results/measured.json`.

    Raises:
        UserError: `folder` has such results, or cannot be written.
    """
    results = folder / "results"
    file = results / "measured.json"
    now, before = _at_hand(plan), {}
    if any(results.glob("*/metrics/*.csv")):
        before = _read(file)
    for subject, digest in now.items():
        if before.get(subject, digest) != digest:
            raise UserError(
                f"'{results}': {subject} are no longer those that were measured: move this folder away, and all is "
                "tested again, or give another -o"
            )
    try:
        results.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(before | now, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise UserError(f"cannot write '{file}': {reason_of(error)}") from error


def _at_hand(plan: Plan) -> dict[str, str]:
    """SHA-256 of the pixels of each test and validation set, and of each file of weights that is tested as it is."""
    digests = {}
    for name, dataset in (plan.test_sets() | plan.validation_set()).items():
        digest = hashlib.sha256()
        for image, lq, gt in read_images(dataset, plan.scale):
            for part in (image.encode(), str(lq.shape).encode(), lq.tobytes(), str(gt.shape).encode(), gt.tobytes()):
                digest.update(part)
        digests[f"the images of {name}"] = digest.hexdigest()
    for method in plan.trained:
        if method.weights is not None and method.weights.is_file():
            digests[f"the weights of {method.name}"] = sha256_of(method.weights)
    return digests


def _read(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # an older version wrote none
        return {}
    return content if isinstance(content, dict) else {}
