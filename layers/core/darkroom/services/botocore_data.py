"""botocore's data, without its table of the endpoints of all services, and without the text of its documentation.

The table takes 7 MB of memory and half of the CPU time of making the first client. Of its contents, clients use only
the domains of the partitions, since the rules of each service name its endpoints. The text takes 3 MB.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader, Loader

_ENDPOINTS = "endpoints"
_HOST = "{service}.{region}.{dnsSuffix}"
_FIPS_HOST = "{service}-fips.{region}.{dnsSuffix}"


class SlimLoader(Loader):  # type: ignore[misc]  # botocore has no types
    """Loads botocore's files, and in place of the table one that is made of the partitions."""

    def __init__(self) -> None:
        super().__init__(file_loader=_FileLoader())

    def load_data_with_path(self, name: str) -> tuple[dict[str, Any], str]:
        """The content and the path of a file."""
        if name != _ENDPOINTS:
            return super().load_data_with_path(name)  # type: ignore[no-any-return]
        partitions = self.load_data("partitions")["partitions"]
        # With another path, botocore would take the table for a user's own and not apply the rules.
        return {"version": 3, "partitions": list(map(_partition, partitions))}, str(Path(self.BUILTIN_DATA_PATH, name))


class _FileLoader(JSONFileLoader):  # type: ignore[misc]  # botocore has no types
    def load_file(self, file_path: str) -> Any:
        for suffix, read in ((".json", Path.read_bytes), (".json.gz", _read_compressed)):
            try:
                content = read(Path(file_path + suffix))
            except FileNotFoundError:
                continue
            return json.loads(content, object_pairs_hook=_without_documentation)
        return None


def _read_compressed(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def _without_documentation(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A field of a service may have the name too; its value is no text.
    return {name: "" if name == "documentation" and isinstance(value, str) else value for name, value in pairs}


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
