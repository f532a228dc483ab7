"""botocore's data, without its table of the endpoints of all services.

The table takes 7 MB of memory and half of the CPU time of making the first client. Of its contents, clients use only
the domains of the partitions, since the rules of each service name its endpoints.
"""

from pathlib import Path
from typing import Any

from botocore.loaders import Loader

_ENDPOINTS = "endpoints"
_HOST = "{service}.{region}.{dnsSuffix}"
_FIPS_HOST = "{service}-fips.{region}.{dnsSuffix}"


class SlimLoader(Loader):  # type: ignore[misc]  # botocore has no types
    """Loads botocore's files, and in place of the table one that is made of the partitions."""

    def load_data_with_path(self, name: str) -> tuple[dict[str, Any], str]:
        """The content and the path of a file."""
        if name != _ENDPOINTS:
            return super().load_data_with_path(name)  # type: ignore[no-any-return]
        partitions = self.load_data("partitions")["partitions"]
        # With another path, botocore would take the table for a user's own and not apply the rules.
        return {"version": 3, "partitions": list(map(_partition, partitions))}, str(Path(self.BUILTIN_DATA_PATH, name))


def _partition(partition: dict[str, Any]) -> dict[str, Any]:
    suffix, dual_suffix = partition["outputs"]["dnsSuffix"], partition["outputs"]["dualStackDnsSuffix"]
    return {
        "partition": partition["id"],
        "dnsSuffix": suffix,
        "regionRegex": partition["regionRegex"],
        "regions": {name: {} for name in partition["regions"]},
        "services": {},
        "defaults": {
            "hostname": _HOST,
            "protocols": ["https"],
            "signatureVersions": ["v4"],
            "variants": [
                {"tags": ["fips"], "hostname": _FIPS_HOST, "dnsSuffix": suffix},
                {"tags": ["dualstack"], "hostname": _HOST, "dnsSuffix": dual_suffix},
                {"tags": ["dualstack", "fips"], "hostname": _FIPS_HOST, "dnsSuffix": dual_suffix},
            ],
        },
    }
