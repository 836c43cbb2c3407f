"""The pictures of a benchmark: patches and crops side by side, quality against cost, and the HTML report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mihatp_arch.evaluation.report import figure, plots, table
from mihatp_arch.evaluation.report.added_tables import REPORT, added_tables
from mihatp_arch.evaluation.report.page import Crop, write_report
from mihatp_arch.evaluation.results.examples import example_images, tissue
from mihatp_arch.evaluation.results.scores import Scores, read_images, read_picture
from mihatp_arch.evaluation.results.statistics import MethodResult
from mihatp_arch.evaluation.run.plan import Plan
from mihatp_arch.evaluation.run.trainings import run_name
from mihatp_arch.evaluation.views import view_patches
from mihatp_arch.metrics.images import BGRImage

PICTURES = ("figure2.png", "cost.png")  # in the folder of the benchmark
_PATCHES = "Worst, median and best patch by the error on tissue of all methods, and the crop with the greatest error"


def draw(
    plan: Plan,
    scores: Mapping[str, Sequence[Scores]],
    results: Sequence[MethodResult],
    folder: Path,
    *,
    baseline: str | None,
    title: str,
    summary: Sequence[str],
    tables: Sequence[table.Table],
    more: Mapping[str, Path],
    views: Mapping[str, str],
) -> Path:
    """Draw Figure 2 and the cost plot, write the report with them, the pictures `more` and links to views.

    Returns:
        The path of the report.
    """
    patches = example_patches(plan, scores, folder)
    of_patches, of_cost = (folder / name for name in PICTURES)
    figure.draw_crops(patches, of_patches)
    plots.quality_against_cost(results, of_cost, baseline=baseline)
    right = plan.ours if plan.ours in scores else list(scores)[-1]
    left = next(iter(scores))
    link = view_patches(patches, folder, scale=plan.scale, first=list(dict.fromkeys([left, right])))
    own = {} if link is None else {"the example patches of every method": link}
    write_report(
        folder / REPORT,
        title=title,
        summary=summary,
        tables=tables,
        crops=[_crop(patch) for patch in patches],
        figures={_PATCHES: of_patches, "Quality against cost": of_cost, **more},
        views=own | dict(views),
        left=left,
        right=right,
        added=added_tables(folder),
    )
    return folder / REPORT


def example_patches(plan: Plan, scores: Mapping[str, Sequence[Scores]], folder: Path) -> list[figure.Patch]:
    """The worst, median and best patch with LR, every method and HR."""
    trained = {method.name for method in plan.trained}
    patches = []
    shares = {
        name: {image: float(tissue(gt).mean()) for image, _, gt in read_images(dataset, plan.scale)}
        for name, dataset in plan.test_sets().items()
    }
    for title, name, image in example_images(scores, shares):
        lq, gt = next((lq, gt) for key, lq, gt in read_images(plan.test_sets()[name], plan.scale) if key == image)
        images: dict[str, BGRImage] = {f"LR x{plan.scale}": lq}
        captions = {}
        for method, seeds in scores.items():
            run = run_name(plan, method, plan.seeds[0]) if method in trained else f"{method}_x{plan.scale}"
            images[method] = read_picture(folder / "results" / run, name, image)
            captions[method] = f"{seeds[0]['psnr'][name][image]:.2f} dB"
        patches.append(figure.Patch(f"{title}: {name} {image}", {**images, "HR": gt}, captions))
    return patches


def _crop(patch: figure.Patch) -> Crop:
    height = patch.images["HR"].shape[0]
    images = {label: figure.enlarged(image, height) for label, image in patch.images.items()}
    return Crop(patch.title, images, patch.captions)
