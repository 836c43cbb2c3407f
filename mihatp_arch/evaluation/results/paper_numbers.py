"""The numbers of the paper that stand beside ours (Table 1; section 3.2 on the ablation)."""

from typing import NamedTuple


class Published(NamedTuple):
    """PSNR in dB and SSIM."""

    psnr: float
    ssim: float


# Table 1: cohort -> scale -> method. The line of MiHATP on BRCA is not in the text that we have.
TABLE_1: dict[str, dict[int, dict[str, Published]]] = {
    "COAD": {
        2: {
            "SRCNN": Published(29.1065, 0.8989),
            "LDM": Published(30.4564, 0.9010),
            "IDM": Published(30.9378, 0.9102),
            "ResShift": Published(31.4319, 0.9282),
            "SHISRCNet": Published(31.8732, 0.9388),
            "SwinIR": Published(31.9037, 0.9377),
            "MiHATP": Published(32.3356, 0.9426),
        },
        4: {
            "SRCNN": Published(23.1145, 0.7356),
            "LDM": Published(23.9633, 0.7424),
            "IDM": Published(24.1479, 0.7469),
            "ResShift": Published(24.3835, 0.7452),
            "SHISRCNet": Published(25.2459, 0.7636),
            "SwinIR": Published(26.2012, 0.7745),
            "MiHATP": Published(26.5634, 0.7834),
        },
        8: {
            "SRCNN": Published(19.0812, 0.4342),
            "LDM": Published(19.2209, 0.4391),
            "IDM": Published(19.5464, 0.4532),
            "ResShift": Published(19.8880, 0.4826),
            "SHISRCNet": Published(20.6238, 0.4811),
            "SwinIR": Published(20.8928, 0.4923),
            "MiHATP": Published(21.7234, 0.5195),
        },
    },
    "BRCA": {
        2: {
            "SRCNN": Published(32.5606, 0.9264),
            "LDM": Published(33.0968, 0.9327),
            "IDM": Published(33.6549, 0.9423),
            "ResShift": Published(34.2976, 0.9412),
            "SHISRCNet": Published(34.8323, 0.9528),
            "SwinIR": Published(35.1081, 0.9600),
        },
        4: {
            "SRCNN": Published(27.2737, 0.8415),
            "LDM": Published(27.9129, 0.8431),
            "IDM": Published(28.1479, 0.8546),
            "ResShift": Published(28.9399, 0.8574),
            "SHISRCNet": Published(29.7133, 0.8709),
            "SwinIR": Published(29.8595, 0.8870),
        },
        8: {
            "SRCNN": Published(21.9137, 0.6151),
            "LDM": Published(22.1959, 0.6383),
            "IDM": Published(22.3688, 0.6874),
            "ResShift": Published(22.5324, 0.7032),
            "SHISRCNet": Published(23.3348, 0.7112),
            "SwinIR": Published(23.8881, 0.7296),
        },
    },
}


def published(cohort: str | None, scale: int, method: str) -> Published | None:
    """What the paper has for a method on a cohort, or None."""
    return TABLE_1.get(cohort or "", {}).get(scale, {}).get(method)
