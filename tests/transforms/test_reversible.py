"""T_for and T_inv: exact inverses that commute with down-sampling, drawn per sample."""

from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from mihatp_arch.errors import UserError
from mihatp_arch.transforms import Draw, ReversiblePool
from mihatp_arch.transforms.reversible import D4, ELEMENTS

POOL = ReversiblePool(elements=tuple(ELEMENTS))
EXACT = [name for name in ELEMENTS if name != "invert"]  # 1 - x rounds
FLAT = [name for name, element in ELEMENTS.items() if element.keeps_shape]


def images(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape) / 255


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_inverse_is_exact(name, dtype):
    x = (
        torch.randint(256, (3, 3, 8, 8)).to(dtype) / 255
        if dtype.is_floating_point
        else torch.randint(256, (3, 3, 8, 8))
    )
    x = x.to(dtype)
    transformed = POOL.apply(x, Draw((name,) * 3))
    assert not torch.equal(transformed, x)
    assert torch.equal(POOL.invert(transformed, Draw((name,) * 3)), x)


def test_inversion_is_exact_on_integers_and_up_to_rounding_on_floats():
    draw = Draw(("invert",) * 2)
    integers = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(POOL.invert(POOL.apply(integers, draw), draw), integers)
    x = images(2, 3, 4, 4)
    torch.testing.assert_close(POOL.invert(POOL.apply(x, draw), draw), x, rtol=0, atol=6e-8)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 10), (1, 1), (1, 7)])
def test_mixed_batches_come_back_exactly_on_lr_and_hr(height, width):
    pool = ReversiblePool(elements=EXACT)
    draw = pool.draw(40, height=height, width=width)
    for scale in (1, 4):
        x = torch.rand(40, 3, scale * height, scale * width)
        transformed = pool.apply(x, draw)
        assert transformed.shape == x.shape
        assert torch.equal(pool.invert(transformed, draw), x)
        for i, name in enumerate(draw.elements):
            assert torch.equal(transformed[i : i + 1], pool.apply(x[i : i + 1], Draw((name,))))


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_commutes_with_down_sampling(name, scale):
    gt, draw = torch.rand(2, 3, 48, 48), Draw((name, name))

    def area(x):
        return F.avg_pool2d(x, scale)

    def bicubic(x):
        return F.interpolate(x, scale_factor=1 / scale, mode="bicubic", antialias=True)

    torch.testing.assert_close(area(POOL.apply(gt, draw)), POOL.apply(area(gt), draw), rtol=0, atol=1e-6)
    torch.testing.assert_close(bicubic(POOL.apply(gt, draw)), POOL.apply(bicubic(gt), draw), rtol=0, atol=1e-5)


def test_rotations_are_torchs_and_the_eight_of_d4_differ():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    for turns, name in enumerate(("rot90", "rot180", "rot270"), start=1):
        assert torch.equal(POOL.apply(x, Draw((name,))), torch.rot90(x, turns, (-2, -1)))
    results = {tuple(POOL.apply(x, Draw((name,))).flatten().tolist()) for name in D4}
    assert len(results | {tuple(x.flatten().tolist())}) == 8


def test_gradient_passes_through_there_and_back():
    x = torch.rand(9, 3, 4, 4, requires_grad=True)
    pool = ReversiblePool()
    draw = pool.draw(9, height=4, width=4)
    weight = torch.rand(9, 3, 4, 4)
    (pool.invert(pool.apply(x, draw), draw) * weight).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, weight)


def test_draws_are_per_sample_uniform_and_seeded():
    pool = ReversiblePool()
    torch.manual_seed(1)
    first, second = (pool.draw(700, height=8, width=8) for _ in range(2))
    torch.manual_seed(1)
    assert pool.draw(700, height=8, width=8) == first != second
    counts = Counter(first.elements)
    assert set(counts) == set(D4)
    assert min(counts.values()) > 60  # 100 expected, standard deviation 9


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_sample_draws_without_replacement_sample_major(k):
    elements = ReversiblePool().draw(50, height=4, width=6, k=k).elements
    assert len(elements) == 50 * k
    assert set(elements) == {"hflip", "vflip", "rot180"}
    assert all(len(set(elements[i : i + k])) == k for i in range(0, 50 * k, k))


def test_a_draw_larger_than_the_pool_goes_round():
    elements = ReversiblePool(elements=["hflip", "vflip"]).draw(10, height=4, width=4, k=5).elements
    for i in range(0, 50, 5):
        assert sorted(Counter(elements[i : i + 5]).values()) == [2, 3]


def test_non_square_images_get_what_keeps_their_shape():
    assert set(POOL.draw(200, height=3, width=4).elements) == set(FLAT)


def test_errors_are_one_line():
    with pytest.raises(UserError, match="'hflp' is unknown: did you mean 'hflip'"):
        ReversiblePool(elements=["hflp"])
    with pytest.raises(UserError, match="each named once"):
        ReversiblePool(elements=["hflip", "hflip"])
    with pytest.raises(UserError, match="one or more"):
        ReversiblePool(elements=[])
    with pytest.raises(UserError, match="4x6 pixels"):
        ReversiblePool(elements=["rot90"]).draw(2, height=4, width=6)
    with pytest.raises(ValueError, match="batch of 3"):
        POOL.apply(torch.rand(3, 3, 4, 4), Draw(("hflip",)))
