"""The results table, as Markdown and CSV."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mihatp_arch.evaluation.scores import Scores, over_sets

COLUMNS = ("method", "psnr_db", "psnr_sd", "ssim", "ssim_sd", "parameters", "ms_per_patch")


@dataclass(frozen=True)
class Row:
    """One method's line; `parameters` and `milliseconds` are None where they mean nothing."""

    method: str
    scores: Scores
    parameters: int | None = None
    milliseconds: float | None = None

    def values(self) -> tuple[str, float, float, float, float, int | None, float | None]:
        """In the order of COLUMNS."""
        return (
            self.method,
            *over_sets(self.scores.psnr),
            *over_sets(self.scores.ssim),
            self.parameters,
            self.milliseconds,
        )


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table: mean ± standard deviation over the test sets, best PSNR and SSIM bold."""
    values = [row.values() for row in rows]
    best_psnr, best_ssim = max(v[1] for v in values), max(v[3] for v in values)
    lines = ["| method | PSNR (dB) | SSIM | parameters | ms / patch |", "|---|---|---|---|---|"]
    for method, psnr, psnr_sd, ssim, ssim_sd, parameters, ms in values:
        psnr_text, ssim_text = f"{psnr:.2f} ± {psnr_sd:.2f}", f"{ssim:.4f} ± {ssim_sd:.4f}"
        psnr_text = f"**{psnr_text}**" if psnr == best_psnr else psnr_text
        ssim_text = f"**{ssim_text}**" if ssim == best_ssim else ssim_text
        count = "" if parameters is None else f"{parameters:,}".replace(",", " ")
        lines.append(f"| {method} | {psnr_text} | {ssim_text} | {count} | {'' if ms is None else f'{ms:.1f}'} |")
    return "\n".join(lines) + "\n"


def write(rows: Sequence[Row], folder: Path) -> None:
    """`table.md` and `table.csv` in `folder`."""
    (folder / "table.md").write_text(markdown(rows), encoding="utf-8")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row.values() for row in rows)
