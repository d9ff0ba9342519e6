"""Networks that Sysmol trains itself."""

from sysmol.models.preresnet import PreResNet, preresnet18, preresnet20
from sysmol.models.weights import load_float

__all__ = ["PreResNet", "load_float", "preresnet18", "preresnet20"]
