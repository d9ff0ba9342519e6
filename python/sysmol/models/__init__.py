"""Networks that Sysmol trains itself."""

from sysmol.models.preresnet import PreResNet, WordResNet, preresnet18, preresnet20, wordresnet
from sysmol.models.resnet import ResNet, resnet18
from sysmol.models.weights import load_float

__all__ = [
    "PreResNet",
    "ResNet",
    "WordResNet",
    "load_float",
    "preresnet18",
    "preresnet20",
    "resnet18",
    "wordresnet",
]
