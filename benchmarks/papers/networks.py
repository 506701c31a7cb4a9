"""The residual networks of the papers, a small network, and augmentation; bytes go in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DEPTHS = {"resnet20": 20, "resnet32": 32}
NETWORKS = ("cnn", *DEPTHS)
PADDING = 4


class Augmented(nn.Module):
    """Scales bytes for a network and, in training only, crops and flips images at random."""

    def __init__(self, network: nn.Module, *, augment: bool) -> None:
        super().__init__()
        self.network = network
        self.augment = augment

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.augment:
            images = cropped_and_flipped(images)
        return self.network(images / 127.5 - 1)


def cropped_and_flipped(images: Tensor) -> Tensor:
    """Shift each image by up to four pixels, with zeros around it, and flip every other one."""
    n, _, height, width = images.shape
    device = images.device
    padded = nn.functional.pad(images, [PADDING] * 4)
    top, left = torch.randint(2 * PADDING + 1, (2, n, 1), device=device)
    rows = (top + torch.arange(height, device=device))[:, :, None]
    columns = (left + torch.arange(width, device=device))[:, None, :]
    each = torch.arange(n, device=device)[:, None, None]
    cropped = padded[each, :, rows, columns].movedim(-1, 1)
    is_flipped = torch.rand(n, 1, 1, 1, device=device) < 0.5
    return torch.where(is_flipped, cropped.flip(-1), cropped)


class Block(nn.Module):
    """Two convolutions beside a shortcut without parameters: He et al.'s option A."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_outputs),
            nn.ReLU(),
            nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_outputs),
        )
        self.stride = stride
        self.added = n_outputs - n_inputs

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        before = self.added // 2
        shortcut = nn.functional.pad(kept, (0, 0, 0, 0, before, self.added - before))
        return torch.relu(self.convolutions(x) + shortcut)


class ResNet(nn.Module):
    """The residual network for CIFAR (He et al., CVPR 2016) of 6n + 2 layers.

    Parameters
    ----------
    depth : int
    n_classes : int
    width : int, default=16
        Channels of the first stage of three; each other has twice those of the one before.
    """

    def __init__(self, depth: int, n_classes: int, width: int = 16) -> None:
        super().__init__()
        widths = [width, width, 2 * width, 4 * width]
        layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for stage in range(3):
            n_inputs, n_outputs = widths[stage : stage + 2]
            for i in range((depth - 2) // 6):
                is_first = i == 0
                stride = 2 if stage and is_first else 1
                layers.append(Block(n_inputs if is_first else n_outputs, n_outputs, stride))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.output = nn.Linear(4 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


def convolutional_network(n_classes: int, width: int) -> nn.Module:
    """Three convolutions, each halving the image."""
    layers: list[nn.Module] = []
    for n_inputs, n_outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(n_inputs, n_outputs, 3, padding=1), nn.BatchNorm2d(n_outputs)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, n_classes)
    )


def build_network(name: str, n_classes: int, width: int, *, augment: bool) -> Augmented:
    if name == "cnn":
        network = convolutional_network(n_classes, width)
    else:
        network = ResNet(DEPTHS[name], n_classes, width)
    return Augmented(network, augment=augment)
