"""Networks that Sysmol trains itself."""

from sysmol.models.preresnet import PreResNet, preresnet18, preresnet20

__all__ = ["PreResNet", "preresnet18", "preresnet20"]
