"""The transformation pools of the paper's section 2.1: T_for and T_inv make positives, T_irr makes negatives."""

from mihatp_arch.transforms.irreversible import IrreversiblePool
from mihatp_arch.transforms.reversible import Draw, ReversiblePool

__all__ = ["Draw", "IrreversiblePool", "ReversiblePool"]
