"""Selective activation checkpointing: the backward pass recomputes a block, but reuses its costly results.

The costly results are those of convolutions and attention, which take hundreds of operations for each number.

PyTorch's `create_selective_checkpoint_contexts` does the same by a policy for every operator. Python then handles every
operator of both passes, which adds 3 to 4 % to HAT's training step at LR 24; and the graph allows one backward pass.
Here Python handles the saved operators alone, and a graph allows any number of backward passes.
"""

from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint


def checkpointed(block: nn.Module, *inputs: Any) -> Tensor:
    """block(*inputs), whose activations are recomputed in the backward pass, except the results of `save_result`.

    Compiled code saves no results: the compiler chooses what it recomputes.
    """
    if torch.compiler.is_compiling() or block._compiled_call_impl is not None:
        return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[return-value]
    results: list[Tensor] = []

    def contexts() -> tuple[_FirstPass, _Recomputation]:
        return _FirstPass(results), _Recomputation(results)

    return checkpoint(block, *inputs, use_reentrant=False, context_fn=contexts)  # type: ignore[return-value]


def save_result(operator: OpOverload, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """function(*inputs), whose result is saved in a checkpointed block; `function` returns the result of `operator`.

    The recomputation calls the function again, so that autograd sees it, but `operator` then gives the saved result.
    """
    current = None if torch.compiler.is_compiling() else _current_pass.get()
    return function(*inputs) if current is None else current.run(operator, function, *inputs)


def in_checkpoint() -> bool:
    """Whether this thread is inside a checkpointed block."""
    return not torch.compiler.is_compiling() and _current_pass.get() is not None


class _FirstPass:
    """The forward pass of a checkpointed block: saves results."""

    def __init__(self, results: list[Tensor]) -> None:
        self.results = results
        self._token: Token[_FirstPass | None] | None = None

    def __enter__(self) -> None:
        self._token = _current_pass.set(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None
        _current_pass.reset(self._token)

    def run(self, operator: OpOverload, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
        result = function(*inputs)
        self.results.append(result.detach())
        return result


class _Recomputation(_FirstPass):
    """The pass through the block in the backward pass: reuses the results in their order."""

    def __enter__(self) -> None:
        self.unused = iter(self.results)
        super().__enter__()

    def run(self, operator: OpOverload, function: Callable[..., Tensor], *inputs: Any) -> Tensor:
        with _ReuseResult(operator, next(self.unused)):
            return function(*inputs)


class _ReuseResult(TorchDispatchMode):
    """Gives the saved result in place of computing the operator."""

    def __init__(self, operator: OpOverload, result: Tensor) -> None:
        super().__init__()
        self.operator, self.result = operator, result

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.result.detach() if func is self.operator else func(*args, **(kwargs or {}))


_current_pass: ContextVar[_FirstPass | None] = ContextVar("current pass", default=None)
