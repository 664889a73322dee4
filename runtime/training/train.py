"""Trains the bundled model from scratch: `python -m training.train --data cifar10-jpeg.tar.xz --out build`.

Several single-threaded processes each handle a part of every batch and average their gradients: on a busy
machine that is faster and steadier than threads that wait for each other after every layer. The result
depends on the seed and on the number of processes, on nothing that is measured.
"""

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn import functional

from training import augment, fused
from training.dataset import decoded, read_examples
from training.network import MobileNetV2


@dataclass(frozen=True, kw_only=True)
class Cycle:
    """One cycle of the learning rate; small pictures and cutout are used only in its first epochs."""

    epochs: int
    peak_rate: float
    small_epochs: int
    hole_epochs: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings that determine the result. The second cycle is a warm restart (Loshchilov and Hutter, 2017)."""

    seed: int = 20260
    cycles: tuple[Cycle, ...] = (
        Cycle(epochs=60, peak_rate=0.15, small_epochs=15, hole_epochs=40),
        Cycle(epochs=28, peak_rate=0.1, small_epochs=0, hole_epochs=18),
    )
    small_size: int = 24
    size: int = 32
    batch: int = 128
    processes: int = 2
    width: float = 0.5
    warmup: float = 0.15
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    average_decay: float = 0.998
    average_every: int = 4

    @property
    def cycle_ends(self) -> list[int]:
        """The number of finished epochs at the end of each cycle."""
        return list(accumulate(cycle.epochs for cycle in self.cycles))

    @property
    def epochs(self) -> int:
        """The number of epochs of all cycles."""
        return self.cycle_ends[-1]

    def cycle_of(self, epoch: int) -> tuple[Cycle, int]:
        """The cycle that an epoch, counted from 0, belongs to, and its number in it."""
        for cycle in self.cycles:
            if epoch < cycle.epochs:
                return cycle, epoch
            epoch -= cycle.epochs
        raise IndexError("the recipe has no such epoch")


def rate_at(cycle: Cycle, progress: float, *, warmup: float) -> float:
    """The learning rate at this share (0 to 1) of a cycle: a linear warm-up, then linear decay to 0."""
    if progress < warmup:
        return cycle.peak_rate * (0.05 + 0.95 * progress / warmup)
    return cycle.peak_rate * (1 - progress) / (1 - warmup)


def generator_for(recipe: Recipe, *, epoch: int, rank: int) -> torch.Generator:
    """A separate generator for each epoch and process, so that a resumed run equals an uninterrupted one."""
    sequence = np.random.SeedSequence([recipe.seed, epoch, rank])
    return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


class Trainer:
    """One process's part of the training: the network, its running average and the optimiser."""

    def __init__(self, recipe: Recipe, rank: int) -> None:
        self.recipe = recipe
        self.rank = rank
        torch.manual_seed(recipe.seed)
        self.network = MobileNetV2(width=recipe.width).to(memory_format=torch.channels_last)
        self.average = MobileNetV2(width=recipe.width).to(memory_format=torch.channels_last)
        self.average.load_state_dict(self.network.state_dict())
        parameters = list(self.network.parameters())
        self.optimiser = torch.optim.SGD(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
                {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=recipe.cycles[0].peak_rate,
            momentum=recipe.momentum,
            nesterov=True,
        )

    def step(self, pictures: Tensor, labels: Tensor, *, rate: float) -> float:
        """Update the weights once; returns the loss of this process's part."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss = functional.cross_entropy(
            self.network(pictures), labels, label_smoothing=self.recipe.label_smoothing
        )
        loss.backward()
        average_over_processes([p.grad for p in self.network.parameters() if p.grad is not None])
        self.optimiser.step()
        return float(loss.item())

    def update_average(self, step: int) -> None:
        """Update the running average of the weights; faster at the start of training."""
        decay = min(self.recipe.average_decay, (1 + step) / (10 + step)) ** self.recipe.average_every
        with torch.no_grad():
            for kept, now in zip(float_tensors(self.average), float_tensors(self.network), strict=True):
                kept.lerp_(now, 1 - decay)

    def epoch(self, number: int, pixels: Tensor, labels: Tensor) -> float:
        """Train one epoch; returns the mean loss."""
        recipe = self.recipe
        order = torch.randperm(len(labels), generator=generator_for(recipe, epoch=number, rank=recipe.processes))
        generator = generator_for(recipe, epoch=number, rank=self.rank)
        steps = len(labels) // recipe.batch
        part = recipe.batch // recipe.processes
        cycle, within = recipe.cycle_of(number)
        size = recipe.small_size if within < cycle.small_epochs else recipe.size
        started, total = time.monotonic(), 0.0
        self.network.train()
        for step in range(steps):
            first = step * recipe.batch + self.rank * part
            rows = order[first : first + part]
            done = number * steps + step
            pictures = augment.batch(
                pixels, rows, size=size, holes=within < cycle.hole_epochs, generator=generator
            )
            rate = rate_at(cycle, (within + step / steps) / cycle.epochs, warmup=recipe.warmup)
            total += self.step(pictures, labels[rows], rate=rate)
            if done % recipe.average_every == 0:
                self.update_average(done)
            if self.rank == 0 and (step + 1) % 50 == 0:
                pace = (time.monotonic() - started) / (step + 1)
                say(
                    f"epoch {number + 1}/{recipe.epochs} step {step + 1}/{steps} {pace * 1000:.0f} ms/step "
                    f"loss {total / (step + 1):.3f} epoch ends in {pace * (steps - step - 1):.0f} s"
                )
        average_over_processes([*self.network.buffers(), *self.average.buffers()])
        return total / steps

    def top1(self, pictures: Tensor, labels: Tensor) -> float:
        """The averaged network's share of correct predictions."""
        self.average.eval()
        with torch.inference_mode():
            right = sum(
                int((self.average(part).argmax(1) == expected).sum())
                for part, expected in zip(pictures.split(250), labels.split(250), strict=True)
            )
        return right / len(labels)

    def save(self, path: Path, *, epochs_done: int) -> None:
        """Write a checkpoint, atomically."""
        state = {
            "recipe": asdict(self.recipe),
            "epochs_done": epochs_done,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        unfinished = path.with_suffix(".part")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> int:
        """Load a checkpoint; returns the number of finished epochs."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["epochs_done"])


def float_tensors(network: nn.Module) -> list[Tensor]:
    """Weights and running statistics, without the counters."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def average_over_processes(tensors: list[Tensor]) -> None:
    """Replace the tensors by their mean over all processes."""
    tensors = [tensor for tensor in tensors if tensor.is_floating_point()]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view(tensor.shape))


def say(line: str) -> None:
    """Print one progress line."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def train_process(rank: int, recipe: Recipe, last: int, out: Path, data: dict[str, Tensor]) -> None:
    """Train in one process."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{out / 'rendezvous'}", rank=rank, world_size=recipe.processes
    )
    trainer = Trainer(recipe, rank)
    checkpoint = out / "checkpoint.pt"
    first = trainer.resume(checkpoint) if checkpoint.exists() else 0
    for number in range(first, last):
        started = time.monotonic()
        loss = trainer.epoch(number, data["train_pixels"], data["train_labels"])
        if rank == 0:
            trainer.save(checkpoint, epochs_done=number + 1)
            if number + 1 in recipe.cycle_ends:
                trainer.save(out / f"cycle-{recipe.cycle_ends.index(number + 1) + 1}.pt", epochs_done=number + 1)
            # Only for the log: nothing depends on it, and the last epoch's weights are exported.
            score = trainer.top1(data["monitor_pixels"], data["monitor_labels"])
            took = time.monotonic() - started
            left = took * (recipe.epochs - number - 1)
            say(
                f"epoch {number + 1}/{recipe.epochs} done in {took:.0f} s, loss {loss:.3f}, "
                f"top-1 on a part of the test pictures {score:.4f}, about {left / 60:.0f} min left at this pace"
            )
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def load(archive: Path) -> dict[str, Tensor]:
    """The training pictures, padded, and a fifth of the test pictures to monitor progress."""
    pixels, labels = decoded(read_examples(archive, "train"))
    monitor_pixels, monitor_labels = decoded(read_examples(archive, "test")[::5])
    data = {
        "train_pixels": augment.padded(torch.from_numpy(pixels)),
        "train_labels": torch.from_numpy(labels),
        "monitor_pixels": augment.normalised(torch.from_numpy(monitor_pixels).permute(0, 3, 1, 2)),
        "monitor_labels": torch.from_numpy(monitor_labels),
    }
    return {name: tensor.share_memory_() for name, tensor in data.items()}


def main() -> None:
    """Read the arguments, train, and write checkpoint.pt, recipe.json and a cycle-N.pt for each cycle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the archive of JPEGs")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint.pt; resumed if it exists")
    parser.add_argument("--stop-after", type=int, help="stop after that many epochs, to resume later")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    arguments = parser.parse_args()
    recipe = Recipe(seed=arguments.seed)
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / "rendezvous").unlink(missing_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    fused.check()
    say("reading the pictures")
    data = load(arguments.data)
    say(f"training on {len(data['train_labels'])} pictures: {recipe}")
    last = min(arguments.stop_after or recipe.epochs, recipe.epochs)
    torch.multiprocessing.spawn(train_process, args=(recipe, last, out, data), nprocs=recipe.processes)


if __name__ == "__main__":
    main()
