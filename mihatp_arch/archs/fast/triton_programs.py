# Triton is not there without a GPU:
# pyright: reportMissingImports=false
# ruff: noqa: ANN001, ANN201, ANN202 - functions of Triton, whose arguments are pointers and numbers
"""The GPU programs of window_kernel.py, which says what they are for.

Scores are in units of log 2, sums in fp32; fp32 products are as exact as without tensor cores.
"""

import triton
import triton.language as tl

_LOG2E = tl.constexpr(1.4426950408889634)
_COUNTS = ("end0", "end1", "end2", "windows", "chunk")  # arguments that programs are not compiled for the value of


@triton.jit
def _rows(base, rows, stride, count, D: tl.constexpr):
    """Rows (R) of D numbers, zero from `count` on: RxD."""
    return tl.load(base + rows[:, None] * stride + tl.arange(0, D)[None, :], mask=rows[:, None] < count, other=0.0)


@triton.jit
def _store(base, rows, stride, count, values, D: tl.constexpr):
    """The inverse of `_rows`."""
    places = base + rows[:, None] * stride + tl.arange(0, D)[None, :]
    tl.store(places, values.to(base.dtype.element_ty), mask=rows[:, None] < count)


@triton.jit
def _table(base, rows, columns, n, m):
    """Some of a table of nxm in units of log 2, -inf outside it, which is a probability of 0."""
    inside = (rows[:, None] < n) & (columns[None, :] < m)
    values = tl.load(base + rows[:, None] * m + columns[None, :], mask=inside, other=float("-inf"))
    return values.to(tl.float32) * _LOG2E


@triton.jit
def _mask_of(masks, window, end0, end1, end2, n, m):
    """The mask of a window, by the windows where the next kinds begin."""
    kind = (window >= end0).to(tl.int32) + (window >= end1).to(tl.int32) + (window >= end2).to(tl.int32)
    return masks + kind * n * m


@triton.jit
def _product(a, b):
    return tl.dot(a, b, input_precision="tf32x3")  # which says how to multiply fp32, and nothing of other types


@triton.jit(do_not_specialize=_COUNTS)
def forward(
    q, k, v, bias, masks, out, lse, qw, qh, qn, kw, kh, km, n, m, end0, end1, end2, scale,
    MASKED: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """BM queries of one window and head: `out` (w,n,h,D), and the log of the softmax's denominator `lse` (w,h,n)."""
    blocks = tl.cdiv(n, BM)
    window, head, heads = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    rows = tl.program_id(0) % blocks * BM + tl.arange(0, BM)
    bias += head * n * m
    if MASKED:
        masks = _mask_of(masks, window, end0, end1, end2, n, m)
    k += window * kw + head * kh
    v += window * kw + head * kh
    queries = _rows(q + window * qw + head * qh, rows, qn, n, D)
    peak = tl.full((BM,), -1e30, tl.float32)  # not -inf, of which rows outside would make NaN
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
    """BM queries of one window and head: their gradient, and `delta` (w,h,n), the products of `out` and its own."""
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
    place = (window * heads + head) * n + rows
    products = tl.sum(means.to(tl.float32) * gradient.to(tl.float32), 1)
    tl.store(delta + place, products, mask=rows < n)
    log = tl.load(lse + place, mask=rows < n, other=float("inf"))
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
    """BN keys of one head, in `chunk` windows: gradients of k and v, and of the bias, `d_bias` (chunks,h,n,m), in sum.

    The n queries are in BLOCKS of BM, and all their sums stay in registers. Programs that read the same run together.
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
        place = (window * heads + head) * n
        more = ()
        for block in tl.static_range(BLOCKS):
            rows = block * BM + tl.arange(0, BM)
            queries = _rows(q + window * qw + head * qh, rows, qn, n, D)
            gradient = _rows(grad + window * n * heads * D + head * D, rows, heads * D, n, D)
            s = _product(queries, tl.trans(keys)) * (scale * _LOG2E) + _table(bias, rows, columns, n, m)
            if MASKED:
                s += _table(_mask_of(masks, window, end0, end1, end2, n, m), rows, columns, n, m)
            p = tl.exp2(s - tl.load(lse + place + rows, mask=rows < n, other=float("inf"))[:, None])
            of_v += _product(tl.trans(p.to(queries.dtype)), gradient)
            of_p = _product(gradient, tl.trans(values))
            of_s = p * (of_p - tl.load(delta + place + rows, mask=rows < n, other=0.0)[:, None])
            of_k += _product(tl.trans(of_s.to(queries.dtype)), queries)
            more += (sums[block] + of_s,)
        sums = more
        _store(dk + window * dw + head * dh, columns, dm, m, of_k * scale, D)
        _store(dv + window * dw + head * dh, columns, dm, m, of_v, D)
    d_bias += (tl.program_id(2).to(tl.int64) * heads + head) * n * m
    for block in tl.static_range(BLOCKS):
        rows = block * BM + tl.arange(0, BM)
        inside = (rows[:, None] < n) & (columns[None, :] < m)
        tl.store(d_bias + rows[:, None] * m + columns[None, :], sums[block], mask=inside)
