"""Networks that know nothing of stages: some that can be traced, some that cannot, each with its difficulty."""

import random

import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from freezeout.stages.chain import Chain, find_stages


class Plain(nn.Module):
    """Conv + BatchNorm + ReLU twice, the second time around a residual connection, and a classifier."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 4)

    def body(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return x + functional.relu(self.bn2(self.conv2(x)))

    def forward(self, x):
        return self.fc(self.body(x).mean((2, 3)))


class FunctionalDropout(Plain):
    def forward(self, x):
        return self.fc(functional.dropout(self.body(x), 0.5, self.training).mean((2, 3)))


class SharedDropout(Plain):
    """One Dropout module for the whole network."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = self.dropout(self.bn1(self.conv1(x)))
        x = self.dropout(self.bn2(self.conv2(x)))
        return self.fc(self.dropout(x).mean((2, 3)))


class SharedWeights(Plain):
    """The last convolution has the weight of the second."""

    def __init__(self):
        super().__init__()
        self.between, self.conv3 = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.conv3.weight = self.conv2.weight

    def forward(self, x):
        return self.fc(self.conv3(self.between(self.conv2(self.conv1(x)))).mean((2, 3)))


class DirectParameters(Plain):
    """Parameters, a buffer, a constant and a size read in forward itself, and a forward with an optional argument."""

    def __init__(self):
        super().__init__()
        self.scale, self.token = nn.Parameter(torch.randn(6, 1, 1)), nn.Parameter(torch.randn(1, 6))
        self.register_buffer("shift", torch.randn(6, 1, 1))

    def forward(self, x, mask=None):
        n = x.shape[0]
        x = self.body(x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) * self.scale + self.shift
        x = (x if mask is None else x * mask) * self.shift.exp()
        x = torch.cat((x.mean((2, 3)).reshape(n, 1, 6), self.token.expand(n, 1, 6)), 1)
        return self.fc(x.mean(1))


class Unread(Plain):
    """A layer and a buffer that forward never reads."""

    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(3, 3)
        self.register_buffer("note", torch.ones(2))


class DataDependent(SharedDropout):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6, 1, 1))
        self.register_buffer("shift", torch.randn(6, 1, 1))

    def forward(self, x):
        if x.sum() > 0:
            x = -x
        x = self.dropout(self.body(x)) * self.scale + self.shift
        return self.fc(functional.dropout(x, 0.5, self.training).mean((2, 3)))


class OwnBlock(nn.Module):
    """A convolution with a norm of the network's own; its forward drops a half."""

    def __init__(self, channels):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 6, 3, padding=1), NormAct(6)

    def forward(self, x):
        return functional.dropout(self.norm(self.conv(x)), 0.5, self.training)


class OwnBlocks(nn.Module):
    """Two of them, and a classifier before which the network itself drops a half."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.first, self.second, self.fc = OwnBlock(3), OwnBlock(6), nn.Linear(6, 4)

    def forward(self, x):
        x = self.second(self.first(x * self.scale if x.sum() > 0 else x * self.scale.abs()))
        return self.fc(functional.dropout(x.mean((2, 3)), 0.5, self.training))


class TiedDataDependent(SharedWeights):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


class NoiseInTraining(Plain):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x) if self.training else x)


class NormAct(nn.BatchNorm2d):
    """A norm as other packages have them: it counts its batches in a forward of its own, and ends in an activation."""

    def forward(self, x):
        if self.training:
            self.num_batches_tracked.add_(1)
        buffers = (self.running_mean, self.running_var, self.weight, self.bias)
        return functional.relu(functional.batch_norm(x, *buffers, self.training, self.momentum, self.eps))


class DroppedLayer(Plain):
    """In training it leaves its second convolution out in every tenth pass, as a number drawn outside of torch says."""

    def __init__(self, draw=random.random):
        super().__init__()
        self.draw = draw

    def body(self, x):
        drawn = self.draw()
        x = functional.relu(self.bn1(self.conv1(x)))
        return x if self.training and drawn < 0.1 else functional.relu(self.bn2(self.conv2(x)))


class Checkpointed(Plain):
    """Computes its body once more in the backward pass, to keep nothing of it until then."""

    def forward(self, x):
        return self.fc(checkpoint(self.body, x, use_reentrant=False).mean((2, 3)))


class KeptLoss(Plain):
    """Keeps a part of the loss as an attribute, for whoever trains it."""

    def __init__(self):
        super().__init__()
        self.kept = None

    def body(self, x):
        x = super().body(x)
        self.kept = x.square().mean()
        return x


class Hooked(Plain):
    """A hook on a part that is no library module: it halves what the part makes."""

    def __init__(self):
        super().__init__()
        self.part = nn.Sequential(self.conv2, self.bn2)
        self.part.register_forward_hook(lambda module, inputs, y: y / 2)

    def body(self, x):
        return self.part(functional.relu(self.bn1(self.conv1(x))))


class DropPath(nn.Module):
    """In training it drops whole images' branches, in evaluation it does nothing."""

    def forward(self, x):
        if not self.training:
            return x
        return x * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(0.5)


class KeptBias(nn.Module):
    """In evaluation it reads values that it computed once, which train() makes it forget."""

    def __init__(self):
        super().__init__()
        self.bias, self.kept = nn.Parameter(torch.randn(2, 6)), {}

    def train(self, mode=True):
        if mode:
            self.kept = {}
        return super().train(mode)

    def forward(self, x):
        if self.training:
            return x + self.bias[0].view(6, 1, 1)
        if "bias" not in self.kept:
            self.kept["bias"] = self.bias[0].view(6, 1, 1)
        return x + self.kept["bias"]


class ModesInside(Plain):
    """Its parts, not it, do different things in training and in evaluation."""

    def __init__(self):
        super().__init__()
        self.bn1, self.bn2 = NormAct(6), nn.Sequential(nn.BatchNorm2d(6), NormAct(6))
        self.drop_path, self.biases = DropPath(), KeptBias()

    def forward(self, x):
        x = self.biases(self.bn1(self.conv1(x)))
        x = x + self.drop_path(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))


class Wrapper(nn.Module):
    """The whole body is one module that does different things."""

    def __init__(self):
        super().__init__()
        self.body, self.head = NoiseInTraining(), nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.body(x))


class WithoutGradient(Plain):
    def forward(self, x):
        with torch.no_grad():
            x = functional.relu(self.bn1(self.conv1(x)))
        return self.fc(self.conv2(x).mean((2, 3)))


def sequential():
    first = (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
    second = (nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Sequential(*first, *second), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))


def convnext():
    return ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)], stochastic_depth_prob=0.5, num_classes=4)


def vision_transformer():
    size = {"image_size": 8, "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
    return torchvision.models.VisionTransformer(**size, dropout=0.2, attention_dropout=0.2, num_classes=4)


def swin():
    size = {"patch_size": [2, 2], "embed_dim": 8, "depths": [2], "num_heads": [2], "window_size": [2, 2]}
    return torchvision.models.SwinTransformer(**size, dropout=0.2, num_classes=4)


TRACED = [
    *(sequential, linear, Plain, FunctionalDropout, SharedDropout, SharedWeights, DirectParameters, Unread),
    *(ModesInside, convnext, vision_transformer, swin),
]
UNTRACED = [
    *(DataDependent, OwnBlocks, TiedDataDependent, NoiseInTraining, Wrapper, WithoutGradient, Hooked, Checkpointed),
    KeptLoss,
]
X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def made(build) -> tuple[nn.Module, Chain]:
    torch.manual_seed(1)
    model = build()
    return model, find_stages(model, X[:1])


def run(module, mode, x=X):
    torch.manual_seed(7)
    return module.train(mode)(x)
