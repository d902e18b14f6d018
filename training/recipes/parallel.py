"""Several processes, one GPU each, that train one model: each takes its share of a step.

    TRAINING_PROCESSES=2 python -m training.runs.child SPEC.json

The gradients of adapters are small, so they are added up in one message after the last micro-batch;
no wrapper stands around the model, and one process runs the same code as many.
"""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from accelerate import PartialState


class Processes:
    @cached_property
    def state(self) -> "PartialState | None":
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return None
        from accelerate import PartialState

        return PartialState(cpu=not torch.cuda.is_available())

    @property
    def is_first(self) -> bool:
        return self.state is None or self.state.is_main_process

    def share(self, turns: Sequence[Any]) -> Sequence[Any]:
        """Return this process' turns of a step."""
        if self.state is None:
            return turns
        return turns[self.state.process_index :: self.state.num_processes]

    def any(self, flag: bool) -> bool:
        """Return whether any process sets the flag: all must leave the loop at the same step."""
        if self.state is None:
            return flag
        return bool(self._sum(torch.tensor([float(flag)])).item())

    def mean(self, value: float) -> float:
        if self.state is None:
            return value
        total = float(self._sum(torch.tensor([value])).item())
        return total / float(self.state.num_processes)

    def add_up(
        self, numbers: Sequence[float], parameters: Sequence[torch.nn.Parameter]
    ) -> list[float]:
        """Sum gradients in place, and some numbers of the step, over all processes."""
        if self.state is None:
            return list(numbers)
        for parameter in parameters:  # one that had no turn of this step adds nothing
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        first = torch.tensor(numbers).to(gradients[0])
        summed = self._sum(torch.cat([first, *(g.flatten() for g in gradients)]))
        at = len(numbers)
        for gradient in gradients:
            gradient.copy_(summed[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()
        return [float(number) for number in summed[: len(numbers)].tolist()]

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        assert self.state is not None
        tensor = tensor.to(self.state.device)
        torch.distributed.all_reduce(tensor)
        return tensor
