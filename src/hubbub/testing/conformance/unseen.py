"""Why a case of a service is not run: one reason for each id that no function has registered."""

from hubbub.testing.conformance import registry

_CLIENT = "is about a client, not about a service"
_MIDDLEWARE = "is about the event handler's own library, not about a service"
_SETTING = "needs a setting of the service that is not its default"
_DRAIN = "needs the service to be stopped"
_CONFIGURATION = "is about reading a configuration, which cannot be seen from outside"
_LATER = "of a part that hubbub does not have yet, so that the case was never tried"

_REASONS = {
    _CLIENT: ("CP-130", "CP-131", "CP-132", "CP-133", "CP-134", "RA-086"),
    _MIDDLEWARE: (*(f"UE-0{number}" for number in range(71, 81)),),
    _SETTING: ("RA-102", "UE-068", "UE-094"),
    _DRAIN: ("CP-138", "CP-139", "CP-140", "RA-099", "UE-089"),
    _CONFIGURATION: ("UE-064",),
    "needs a bearer token of an identity provider": ("RA-087",),
}


def reasons() -> dict[str, str]:
    """By id. Cases of scope "later" need no reason of their own."""
    later = {known.id: _LATER for known in registry.known().values() if known.scope != "now"}
    return later | {case_id: reason for reason, ids in _REASONS.items() for case_id in ids}
