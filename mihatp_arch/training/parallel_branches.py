"""The two branches of a training step: one after the other, in two threads of a CPU, or of one network in one batch.

    with branches:
        base = branches.start(net_g, lq)
        con = branches.start(net_c, transformed_lq)
        ...  # the threads run at the same time as this
    branches.backward(loss_of(base.result(), con.result()))

`choose_branches` decides between the ways. The first two make the same random draws, in the same order. One batch draws
the masks of both branches together.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mihatp_arch.archs import HAT
from mihatp_arch.archs.fast.threads import number_of_threads
from mihatp_arch.archs.layers.drop_path import draw_ahead, forget


class Output(Protocol):
    """The output of a network that was started."""

    def result(self) -> Tensor:
        """The output; to be called after the block of the branches. Raises what the network raised."""
        ...


class Branches(Protocol):
    """Runs the branches of one training step, forward and backward."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *error: Any) -> None: ...

    def start(self, network: nn.Module, x: Tensor) -> Output:
        """Start `network(x)`; only inside the block of the branches."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of a loss of the outputs."""
        ...


def choose_branches(
    networks: Sequence[nn.Module], *, device: torch.device, threads: bool, shared: bool = False
) -> Branches:
    """Two threads where they are faster and keep the random draws; one batch for one network; else one after the other.

    Threads are faster on a CPU of several cores. They keep the draws of HAT and MiHATP, whose DropPath alone is random.
    A batch norm would see another batch, so such a network runs one branch after the other.

    Args:
        networks: the networks that are trained; two with weights of their own can run in threads.
        device: of the networks.
        threads: False asks for one after the other, where there are two networks.
        shared: both branches are the same network.
    """
    if shared and not any(isinstance(layer, _BatchNorm) for layer in networks[0].modules()):
        return JoinedBranches()
    parallel = (
        threads
        and device.type == "cpu"
        and torch.get_num_threads() >= 2
        and len(networks) == 2
        and all(isinstance(network, HAT) for network in networks)
    )
    return ParallelBranches() if parallel else SequentialBranches()


class SequentialBranches:
    """Runs each network when it is started."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    def start(self, network: nn.Module, x: Tensor) -> Output:
        """Run `network(x)`."""
        output: Future[Tensor] = Future()
        output.set_result(network(x))
        return output

    def backward(self, loss: Tensor) -> None:
        """loss.backward()."""
        loss.backward()


class JoinedBranches:
    """Runs one network for both branches: at the end of the block, in one batch where LR has one size.

    One large batch is faster than two small ones (benchmarks/branches.py).
    """

    def __enter__(self) -> None:
        self._started: list[tuple[nn.Module, Tensor, Future[Tensor]]] = []

    def __exit__(self, error: type[BaseException] | None, *details: object) -> None:
        started, self._started = self._started, []
        if error is not None or not started:
            return
        networks, batches, outputs = zip(*started, strict=True)
        if len(batches) > 1 and len({batch.shape[1:] for batch in batches}) == 1:
            results = networks[0](torch.cat(batches)).split([len(batch) for batch in batches])
        else:
            results = [network(batch) for network, batch in zip(networks, batches, strict=True)]
        for output, result in zip(outputs, results, strict=True):
            output.set_result(result)

    def start(self, network: nn.Module, x: Tensor) -> Output:
        """Note `network(x)` for the end of the block; `network` is the same each time."""
        output: Future[Tensor] = Future()
        self._started.append((network, x, output))
        return output

    def backward(self, loss: Tensor) -> None:
        """loss.backward()."""
        loss.backward()


class ParallelBranches:
    """Runs two networks at the same time, each in its own thread with half of the cores.

    For small operations this is faster than one after the other on all cores. The networks must not share weights, and
    must draw random numbers by our DropPath alone, whose masks are drawn in `start`.

    The loss sees the output of each network as a leaf. So each network's graph belongs to one thread, and `backward`
    runs the two graphs at the same time too. The threads and their OpenMP threads live as long as the object.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="branch")
        self._block = ExitStack()
        self._started: list[_ThreadOutput] = []

    def __enter__(self) -> None:
        self._started = []
        self._block.enter_context(_half_of_the_threads())

    def __exit__(self, *error: object) -> None:
        wait([output.future for output in self._started])
        self._block.close()

    def start(self, network: nn.Module, x: Tensor) -> Output:
        """Draw the DropPath masks of `network` here, then start `network(x)` in a thread."""
        draw_ahead(network, len(x))
        output = _ThreadOutput(network, self._submit(network, x))
        self._started.append(output)
        return output

    def backward(self, loss: Tensor) -> None:
        """loss.backward() down to the leaves, then that of each network from its leaf, in the threads."""
        loss.backward()
        # Checkpointing sets the global generator for as long as it recomputes, in each thread at any time.
        with _half_of_the_threads(), torch.random.fork_rng(devices=[]):
            running = [
                self._submit(output.future.result().backward, output.leaf.grad)
                for output in self._started
                if output.leaf is not None
            ]
            wait(running)
        for future in running:
            future.result()
        for output in self._started:
            forget(output.network)
        self._started = []

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        autocast = torch.autocast("cpu", torch.get_autocast_dtype("cpu"), enabled=torch.is_autocast_enabled("cpu"))
        threads = torch.get_num_threads()

        def run() -> Any:
            torch.set_num_threads(threads)  # each thread has its own number of OpenMP threads, and its own autocast
            with autocast:
                return function(*arguments)

        return self._pool.submit(run)


class _ThreadOutput:
    """A network that runs in a thread, and its output as a leaf."""

    def __init__(self, network: nn.Module, future: Future[Tensor]) -> None:
        self.network = network
        self.future = future
        self.leaf: Tensor | None = None

    def result(self) -> Tensor:
        if self.leaf is None:
            self.leaf = self.future.result().detach().requires_grad_()
        return self.leaf


def _half_of_the_threads() -> AbstractContextManager[None]:
    return number_of_threads(max(1, torch.get_num_threads() // 2))
