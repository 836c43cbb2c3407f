"""Nuclei as points with classes: a CSV with the columns x, y and class, in px of the image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets_prep.source_table.cells import number_of, read_rows
from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.data.annotation import Annotation, ReadOptions, refuse_outside, types_by_number
from mihatp_arch.nuclei.detection import Points

_CLASS = ("class", "type", "label", "classification")


def read_points(path: Path, options: ReadOptions) -> Points:
    """The points of a CSV; their type is 0 where the class is empty, or types are not read.

    Raises:
        UserError: the file cannot be read, lacks a column, a coordinate is no number, or a class has no number.
    """
    head, *rows = read_rows(path, lambda names: {"x", "y"} <= _columns(names).keys()) or [(0, [])]
    columns = _columns(head[1])
    if not {"x", "y"} <= columns.keys():
        raise UserError(f"{path} needs the columns x, y and class; it has {', '.join(columns) or 'none'}")
    column = next((columns[name] for name in _CLASS if name in columns), None)
    if column is None and options.typed:
        raise UserError(f"{path} has no column class: --no-classes reads points without types")
    centres, types = np.zeros((len(rows), 2)), np.zeros(len(rows), np.int64)
    for index, (line, cells) in enumerate(rows):
        row = [*cells, *[""] * len(columns)]
        for axis, name in enumerate("xy"):
            try:
                centres[index, axis] = number_of(row[columns[name]])
            except ValueError:
                centres[index, axis] = np.nan
        if not np.isfinite(centres[index]).all():
            raise UserError(f"{path} line {line}: x and y must be numbers, in px")
        types[index] = options.type_of(row[column], f"{path} line {line}") if column is not None else 0
    return Points(centres, types)


def _columns(head: Sequence[str]) -> dict[str, int]:
    """Name -> index of a column."""
    return {name.strip().lower(): index for index, name in enumerate(head)}


def discs(path: Path, size: tuple[int, int], options: ReadOptions) -> Annotation:
    """Nuclei of points without outlines: discs. They serve detection and classification; their shapes mean nothing.

    Args:
        path: the CSV.
        size: height and width of the image, px.
        options: `radius` is that of the discs. Where discs meet, a pixel belongs to the nearer point.

    Raises:
        UserError: as `read_points`, or a point lies outside the image, or two points are in one pixel.
    """
    points = read_points(path, options)
    _refuse_outside(path, points, size)
    labels, nearest = np.zeros(size, np.int32), np.full(size, np.inf)
    reach = int(options.radius) + 1
    for number, (x, y) in enumerate(points.centres, 1):
        top, left = max(0, round(y) - reach), max(0, round(x) - reach)
        area = slice(top, round(y) + reach + 1), slice(left, round(x) + reach + 1)
        rows, columns = np.ogrid[area[0], area[1]]
        rows, columns = rows[: size[0] - top], columns[:, : size[1] - left]
        distance = np.hypot(columns - x, rows - y)
        closer = (distance <= options.radius) & (distance < nearest[area])
        nearest[area][closer], labels[area][closer] = distance[closer], number
    hidden = len(points.types) - len(np.unique(labels[labels > 0]))
    if hidden:
        raise UserError(f"{path}: {hidden} points lie on other points: each nucleus has one point")
    notes = [f"{path}: points without outlines are discs of {options.radius:g} px: Dice and PQ mean nothing here"]
    return Annotation(labels, types_by_number(labels, np.array([0, *points.types])), notes if len(points.types) else [])


def with_types(annotation: Annotation, path: Path, options: ReadOptions) -> Annotation:
    """The nuclei of an annotation with the types of the points that lie in them.

    Raises:
        UserError: as `read_points`, or a point lies outside the image, or a nucleus has points of two types.
    """
    points = read_points(path, options)
    labels = annotation.labels
    _refuse_outside(path, points, labels.shape)
    columns, rows = np.rint(points.centres).astype(np.int64).T
    at = labels[np.minimum(rows, labels.shape[0] - 1), np.minimum(columns, labels.shape[1] - 1)]
    of_number = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    np.maximum.at(of_number, at, points.types)
    if (of_number[at] != points.types)[at > 0].any():
        raise UserError(f"{path}: a nucleus has points of two types: keep one of them")
    of_number[0] = 0
    alone = int((at == 0).sum())
    notes = [f"{path}: {alone} of {len(at)} points lie in no nucleus, and are left out"] if alone else []
    return Annotation(labels, types_by_number(labels, of_number), [*annotation.notes, *notes])


def _refuse_outside(path: Path, points: Points, size: tuple[int, ...]) -> None:
    x, y = points.centres.reshape(-1, 2).T
    outside = int(((x < -0.5) | (y < -0.5) | (x > size[1]) | (y > size[0])).sum())
    refuse_outside(path, outside, f"{len(points.types)} points", size)
