"""What holds an untrusted worker: ``plan_sandbox`` chooses its layers, ``launch`` starts it inside them.

``docs/sandbox.md`` says what each layer is good for and what none of them covers.
"""

from trainer.sandbox.cores import claimed_core
from trainer.sandbox.launched import Launched
from trainer.sandbox.launching import LaunchError, launch
from trainer.sandbox.layers import Layer, in_order
from trainer.sandbox.policy import POLICIES, Plan, Policy, SandboxUnavailable, plan_sandbox
from trainer.sandbox.setup import Order

__all__ = [
    "POLICIES",
    "LaunchError",
    "Launched",
    "Layer",
    "Order",
    "Plan",
    "Policy",
    "SandboxUnavailable",
    "claimed_core",
    "in_order",
    "launch",
    "plan_sandbox",
]
