# Triton is not there without a GPU:
# pyright: reportMissingImports=false
# ruff: noqa: ANN001, ANN201, ANN202 - functions of Triton, whose arguments are pointers and numbers
"""The GPU programs of triton_attention.py, whose docstring says why they exist.

Scores are logarithms to base 2. Sums are fp32. fp32 products are as exact as without tensor cores.
"""

import triton
import triton.language as tl

_LOG2E = tl.constexpr(1.4426950408889634)
_COUNTS = ("end0", "end1", "end2", "windows", "chunk")  # a new value of these arguments compiles no new program


@triton.jit
def _rows(base, rows, stride, count, D: tl.constexpr):
    """Rows of D numbers, zero from row `count` on: `[R, D]`."""
    return tl.load(base + rows[:, None] * stride + tl.arange(0, D)[None, :], mask=rows[:, None] < count, other=0.0)


@triton.jit
def _store(base, rows, stride, count, values, D: tl.constexpr):
    """The inverse of `_rows`."""
    pointers = base + rows[:, None] * stride + tl.arange(0, D)[None, :]
    tl.store(pointers, values.to(base.dtype.element_ty), mask=rows[:, None] < count)


@triton.jit
def _table(base, rows, columns, n, m):
    """A block of a table `[n, m]` as logarithms to base 2; -inf outside the table, a probability of 0."""
    inside = (rows[:, None] < n) & (columns[None, :] < m)
    values = tl.load(base + rows[:, None] * m + columns[None, :], mask=inside, other=float("-inf"))
    return values.to(tl.float32) * _LOG2E


@triton.jit
def _mask_of(masks, window, end0, end1, end2, n, m):
    """The mask of a window; `end0` is the first window with the second mask, and so on."""
    kind = (window >= end0).to(tl.int32) + (window >= end1).to(tl.int32) + (window >= end2).to(tl.int32)
    return masks + kind * n * m


@triton.jit
def _product(a, b):
    return tl.dot(a, b, input_precision="tf32x3")  # concerns fp32 alone


@triton.jit(do_not_specialize=_COUNTS)
def forward(
    q, k, v, bias, masks, out, lse, qw, qh, qn, kw, kh, km, n, m, end0, end1, end2, scale,
    MASKED: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """BM queries of one window and head: `out` `[w, n, h, D]`, and `lse` `[w, h, n]`, the log of the denominators."""
    blocks = tl.cdiv(n, BM)
    window, head, heads = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    rows = tl.program_id(0) % blocks * BM + tl.arange(0, BM)
    bias += head * n * m
    if MASKED:
        masks = _mask_of(masks, window, end0, end1, end2, n, m)
    k += window * kw + head * kh
    v += window * kw + head * kh
    queries = _rows(q + window * qw + head * qh, rows, qn, n, D)
    peak = tl.full((BM,), -1e30, tl.float32)  # with -inf, rows outside would become NaN
    total = tl.zeros((BM,), tl.float32)
    mean = tl.zeros((BM, D), tl.float32)
    for start in range(0, m, BN):
        columns = start + tl.arange(0, BN)
        s = _product(queries, tl.trans(_rows(k, columns, km, m, D))) * (scale * _LOG2E)
        s += _table(bias, rows, columns, n, m)
        if MASKED:
            s += _table(masks, rows, columns, n, m)
        higher = tl.maximum(peak, tl.max(s, 1))
        p = tl.exp2(s - higher[:, None])
        less = tl.exp2(peak - higher)
        total = total * less + tl.sum(p, 1)
        mean = mean * less[:, None] + _product(p.to(queries.dtype), _rows(v, columns, km, m, D))
        peak = higher
    total = tl.where(rows < n, total, 1.0)
    _store(out + window * n * heads * D + head * D, rows, heads * D, n, mean / total[:, None], D)
    tl.store(lse + (window * heads + head) * n + rows, peak + tl.log2(total), mask=rows < n)


@triton.jit(do_not_specialize=_COUNTS)
def backward_queries(
    q, k, v, bias, masks, out, lse, grad, delta, dq, qw, qh, qn, kw, kh, km, dw, dh, dn, n, m, end0, end1, end2, scale,
    MASKED: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """BM queries of one window and head: their gradient, and `delta` `[w, h, n]`, the products of `out` and `grad`."""
    blocks = tl.cdiv(n, BM)
    window, head, heads = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    rows = tl.program_id(0) % blocks * BM + tl.arange(0, BM)
    bias += head * n * m
    if MASKED:
        masks = _mask_of(masks, window, end0, end1, end2, n, m)
    k += window * kw + head * kh
    v += window * kw + head * kh
    queries = _rows(q + window * qw + head * qh, rows, qn, n, D)
    gradient = _rows(grad + window * n * heads * D + head * D, rows, heads * D, n, D)
    means = _rows(out + window * n * heads * D + head * D, rows, heads * D, n, D)
    row = (window * heads + head) * n + rows
    products = tl.sum(means.to(tl.float32) * gradient.to(tl.float32), 1)
    tl.store(delta + row, products, mask=rows < n)
    log = tl.load(lse + row, mask=rows < n, other=float("inf"))
    total = tl.zeros((BM, D), tl.float32)
    for start in range(0, m, BN):
        columns = start + tl.arange(0, BN)
        keys = _rows(k, columns, km, m, D)
        s = _product(queries, tl.trans(keys)) * (scale * _LOG2E) + _table(bias, rows, columns, n, m)
        if MASKED:
            s += _table(masks, rows, columns, n, m)
        of_p = _product(gradient, tl.trans(_rows(v, columns, km, m, D)))
        of_s = tl.exp2(s - log[:, None]) * (of_p - products[:, None])
        total += _product(of_s.to(queries.dtype), keys)
    _store(dq + window * dw + head * dh, rows, dn, n, total * scale, D)


@triton.jit(do_not_specialize=_COUNTS)
def backward_keys(
    q, k, v, bias, masks, lse, grad, delta, dk, dv, d_bias, qw, qh, qn, kw, kh, km, dw, dh, dm, n, m, end0, end1, end2,
    scale, windows, chunk,
    MASKED: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BLOCKS: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """BN keys of one head in `chunk` windows: gradients of k and v, and the sum of those of the bias.

    `d_bias` is `[chunks, h, n, m]`. The n queries are in BLOCKS of BM, and all their sums stay in registers.
    Programs that read the same data run at the same time.
    """
    head, heads = tl.program_id(1), tl.num_programs(1)
    columns = tl.program_id(0) * BN + tl.arange(0, BN)
    bias += head * n * m
    sums = ()
    for _ in tl.static_range(BLOCKS):
        sums += (tl.zeros((BM, BN), tl.float32),)
    first = tl.program_id(2) * chunk
    for number in range(first, tl.minimum(first + chunk, windows)):
        window = tl.cast(number, tl.int64)
        keys = _rows(k + window * kw + head * kh, columns, km, m, D)
        values = _rows(v + window * kw + head * kh, columns, km, m, D)
        of_k = tl.zeros((BN, D), tl.float32)
        of_v = tl.zeros((BN, D), tl.float32)
        start = (window * heads + head) * n
        new_sums = ()
        for block in tl.static_range(BLOCKS):
            rows = block * BM + tl.arange(0, BM)
            queries = _rows(q + window * qw + head * qh, rows, qn, n, D)
            gradient = _rows(grad + window * n * heads * D + head * D, rows, heads * D, n, D)
            s = _product(queries, tl.trans(keys)) * (scale * _LOG2E) + _table(bias, rows, columns, n, m)
            if MASKED:
                s += _table(_mask_of(masks, window, end0, end1, end2, n, m), rows, columns, n, m)
            p = tl.exp2(s - tl.load(lse + start + rows, mask=rows < n, other=float("inf"))[:, None])
            of_v += _product(tl.trans(p.to(queries.dtype)), gradient)
            of_p = _product(gradient, tl.trans(values))
            of_s = p * (of_p - tl.load(delta + start + rows, mask=rows < n, other=0.0)[:, None])
            of_k += _product(tl.trans(of_s.to(queries.dtype)), queries)
            new_sums += (sums[block] + of_s,)
        sums = new_sums
        _store(dk + window * dw + head * dh, columns, dm, m, of_k * scale, D)
        _store(dv + window * dw + head * dh, columns, dm, m, of_v, D)
    d_bias += (tl.program_id(2).to(tl.int64) * heads + head) * n * m
    for block in tl.static_range(BLOCKS):
        rows = block * BM + tl.arange(0, BM)
        inside = (rows[:, None] < n) & (columns[None, :] < m)
        tl.store(d_bias + rows[:, None] * m + columns[None, :], sums[block], mask=inside)
