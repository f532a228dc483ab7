"""What a cold start pays before the first job: importing each function as built, on processor and clock.

Beside it the packages that the function cannot do without, alone. Files are warm, byte code is there, as in a layer.
"""

import os
import resource
import statistics
import subprocess
import time
from pathlib import Path

from localstack.settings import Settings

#: Fresh interpreters per row.
REPEATS = 7

_LAYERS = ("CoreLayer/python", "ImagingLayer/python")

#: What is measured alone: the name and the import.
_LIBRARIES = {
    "nothing": "pass",
    "pydantic": "import pydantic; type('M', (pydantic.BaseModel,), {})",
    "redis": "import redis",
    "pika": "import pika",
    "botocore, S3 client": "import botocore.session; botocore.session.get_session().create_client('s3')",
    "Powertools": "from aws_lambda_powertools import Logger, metrics; metrics.single_metric",
    "pyvips": "import pyvips",
    "Pillow": "from PIL import Image",
}


def report(settings: Settings) -> None:
    """Prints the table."""
    print(f"\nImports in a fresh interpreter, ms, median of {REPEATS}.\n")
    print("| what | processor | clock |\n|---|---:|---:|")
    for name, code in _LIBRARIES.items():
        _print(f"{name} alone", *_measure(settings, code, None))
    for artifact in sorted(settings.build.glob("*Function")):
        code = "import api.main" if artifact.name == "ApiFunction" else "import app"
        _print(artifact.name, *_measure(settings, code, artifact))


def _print(name: str, processor_ms: float, clock_ms: float) -> None:
    print(f"| {name} | {processor_ms:.0f} | {clock_ms:.0f} |", flush=True)


def _measure(settings: Settings, code: str, artifact: Path | None) -> tuple[float, float]:
    folders = [settings.build / layer for layer in _LAYERS] + ([artifact] if artifact else [])
    environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(map(str, folders))} | settings.aws_environment()
    processor, clock = [], []
    for _ in range(REPEATS):
        used, begun = _children_s(), time.perf_counter()
        subprocess.run([str(settings.tools), "-c", code], env=environment, check=True)
        clock.append((time.perf_counter() - begun) * 1000)
        processor.append((_children_s() - used) * 1000)
    return statistics.median(processor), statistics.median(clock)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
