"""What stock substrate-interface must be told of the runtime's `PeerzApi`: metadata V14 does not describe runtime APIs.

Types that the metadata has are named by their path in the runtime; the two that only this API uses are spelt out.
"""

from __future__ import annotations

from typing import Any, Final

_TYPES = "pallet_peerz::types::"


def _method(answer: str, **params: str) -> dict[str, Any]:
    return {"params": [{"name": name, "type": kind} for name, kind in params.items()], "type": answer}


TYPE_REGISTRY: Final[dict[str, Any]] = {
    "types": {
        "PeerzRoleView": {
            "type": "struct",
            "type_mapping": [
                ["role", "u8"],
                ["name", "Bytes"],
                ["kind", _TYPES + "RoleKind"],
                ["terms", _TYPES + "RoleTerms"],
                ["weight", "u32"],
                ["multiplier", "u32"],
                ["effective", "u32"],
            ],
        },
        "PeerzPendingReward": {
            "type": "struct",
            "type_mapping": [
                ["epoch", "u32"],
                ["index", "u32"],
                ["role", "u8"],
                ["amount", "u128"],
                ["payable", "u32"],
            ],
        },
    },
    "runtime_api": {
        "PeerzApi": {
            "methods": {
                "epoch": _method(f"({_TYPES}Epoch, u32)"),
                "role_weights": _method("Vec<PeerzRoleView>"),
                "subjects_of": _method("Vec<u32>", account="AccountId"),
                "pending_rewards": _method("Vec<PeerzPendingReward>", account="AccountId"),
                "assignment": _method("Vec<AccountId>", epoch="u32", subject="u32"),
                "attested_by": _method("Vec<u32>", epoch="u32", validator="AccountId"),
                "bond": _method("(u128, u128)", account="AccountId", role="u8"),
            },
            "types": {},
        }
    },
}
