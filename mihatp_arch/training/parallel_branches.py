"""Two networks side by side on a CPU, forward and backward: a thread for each, with half of torch's threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mihatp_arch.archs.layers.drop_path import draw_ahead, forget

Start = Callable[[nn.Module, Tensor], Callable[[], Tensor]]


def at_once(network: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """network(x), computed here and now, for who asks."""
    output = network(x)
    return lambda: output


class SideBySide:
    """Runs networks that share no weights in threads, which small operations keep busier than many threads keep them.

    The losses see the networks' outputs as leaves, so that the graph of each network is its thread's alone:

        with branches.forward() as start:
            base = start(net_g, lq)  # begins
            …  # what is done here is done beside it
        loss(base()).backward()  # is branches.backward(loss)

    The threads live as long as this object, and so do the OpenMP threads below them. The networks must draw random
    numbers by our DropPath alone: its masks are drawn at the start, in the order of the calls.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="branch")
        self._started: list[tuple[nn.Module, Future[Tensor]]] = []
        self._leaves: list[tuple[Tensor, Tensor]] = []

    @contextmanager
    def forward(self) -> Iterator[Start]:
        """Gives `start(network, x)`, whose result, called after the block, is the output; leaving the block waits."""
        self._started, self._leaves = [], []
        with self._half_the_threads():
            try:
                yield self._start
            finally:
                wait([future for _, future in self._started])

    def _start(self, network: nn.Module, x: Tensor) -> Callable[[], Tensor]:
        draw_ahead(network, len(x))
        future = self._submit(network, x)
        self._started.append((network, future))

        def output() -> Tensor:
            leaf = future.result().detach().requires_grad_()
            self._leaves.append((future.result(), leaf))
            return leaf

        return output

    def backward(self, loss: Tensor) -> None:
        """loss.backward(), then that of each network from its leaf."""
        loss.backward()
        # Checkpointing sets the global generator for as long as it recomputes, each thread when it likes.
        with self._half_the_threads(), torch.random.fork_rng(devices=[]):
            running = [self._submit(output.backward, leaf.grad) for output, leaf in self._leaves]
            wait(running)
        for future in running:
            future.result()
        for network, _ in self._started:
            forget(network)
        self._started, self._leaves = [], []

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        autocast = torch.autocast("cpu", torch.get_autocast_dtype("cpu"), enabled=torch.is_autocast_enabled("cpu"))
        threads = torch.get_num_threads()

        def run() -> Any:
            torch.set_num_threads(threads)  # OpenMP's number and autocast are each thread's own
            with autocast:
                return function(*arguments)

        return self._pool.submit(run)

    @contextmanager
    def _half_the_threads(self) -> Iterator[None]:
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // 2))
        try:
            yield
        finally:
            torch.set_num_threads(threads)  # it is also what threads to come begin with
