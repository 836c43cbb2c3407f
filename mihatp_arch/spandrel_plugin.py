"""MiHATP in programs that are built on spandrel: they open the files of `mihatp export`.

spandrel has no entry points, so that a program or its plugin must call `install` once. Importing this module changes
nothing.
"""

from spandrel import MAIN_REGISTRY, Architecture, ArchRegistry, ArchSupport, ImageModelDescriptor, StateDict
from spandrel.util import KeyCondition

from mihatp_arch.archs.mihatp_arch import MiHATP
from mihatp_arch.exported_options import OPTIONS, options_of, without_options


class MiHATPArch(Architecture[MiHATP]):
    """MiHATP for spandrel: recognised by its deformable attention and by the options that an exported file has."""

    def __init__(self) -> None:
        detect = KeyCondition.has_all(OPTIONS, "layers.0.residual_group.blocks.0.dat.offset_conv.weight")
        super().__init__(id="MiHATP", detect=detect)

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[MiHATP]:
        """The network with its weights. Raises `ValueError`, `TypeError` or `RuntimeError` for a damaged file."""
        options = options_of(state_dict)
        options.pop("type", None)
        model = MiHATP(**options)
        channels = model.conv_first.in_channels
        return ImageModelDescriptor(
            model,
            without_options(state_dict),
            architecture=self,
            purpose="SR",
            tags=[f"w{model.window_size}", f"{model.conv_first.out_channels}dim"],
            supports_half=False,
            supports_bfloat16=True,
            scale=model.upscale,
            input_channels=channels,
            output_channels=channels,
        )


def install(registry: ArchRegistry = MAIN_REGISTRY) -> None:
    """Add MiHATP to spandrel's architectures, where it is not there yet.

    Args:
        registry: that of the program's `ModelLoader`; by default all loaders without a registry of their own.
    """
    others = tuple(support.architecture.id for support in registry if support.architecture.id != "MiHATP")
    registry.add(ArchSupport.from_architecture(MiHATPArch(), before=others), ignore_duplicates=True)
