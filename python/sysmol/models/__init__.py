"""Networks that Sysmol trains itself."""

from sysmol.models.preresnet import PreResNet, preresnet20

__all__ = ["PreResNet", "preresnet20"]
