"""Imports go down the layers only. They are read from the syntax, so imports inside functions count as well."""

import ast

import pytest

from darkroom.contracts.operations import Operation
from tests.support.code import PACKAGES, Module, in_package, modules, reachable_modules, shipped_modules

#: The layers of the shared package, lowest first, and the modules of each, lowest first. A module may import from the
#: layers before its own, and in its own layer the modules that are listed before it.
LAYERS = {
    "": ["errors", "timestamps", "timeouts", "tracing", "log", "metrics", "config", "ids"],
    "contracts": ["base", "image_params", "audio_params", "video_params", "operations", "tenants", "jobs", "usage"],
    "media": ["task", "types", "sniff", "geometry", "subprocesses"],
    "images": [
        *("icc", "color", "png", "vips", "limits", "heic_process", "heic", "pillow", "apng", "open", "framing"),
        *("xmp", "metadata", "encode_process", "auto_format", "encode"),
    ],
    "av": [
        *("output", "process", "inputs", "ffmpeg_errors", "ffmpeg", "probe", "mp4", "truncation", "keyframes"),
        *("filters", "tags", "loudness"),
    ],
    "services": [
        *("botocore_data", "aws", "s3", "amqp", "broker_connection", "rabbitmq"),
        *("redis.keys", "redis.deadlines", "redis.client", "redis.script_runner"),
        *("redis.views", "redis.slots", "redis.leases", "redis.open_jobs", "redis.reconciliation", "redis.files"),
        *("redis.memory", "redis.failures", "redis.requests", "redis.usage", "redis.recounts", "redis.key_uses"),
        *("redis.tenants",),
    ],
    "tenants": ["credentials", "api_keys", "upload_links", "context", "records", "deletions", "key_uses"],
    "jobs": [
        *("workdir", "events", "uploads", "source", "ledger", "open_index", "lifecycle", "acceptance", "retries"),
        *("settlement", "ingestion", "usage", "worker"),
    ],
}

HELP = "LAYERS in tests/unit/test_imports.py lists every module of layers/core/darkroom in its layer, lowest first"


def in_layer(layer: str) -> list[str]:
    """The modules of one layer, after the __init__.py of its folders."""
    folder = f"darkroom.{layer}".rstrip(".")
    folders = {folder, *(f"{folder}.{name}".rpartition(".")[0] for name in LAYERS[layer])}
    return [*sorted(folders), *(f"{folder}.{name}" for name in LAYERS[layer])]


ORDER = [name for layer in LAYERS for name in in_layer(layer)]
MEDIA = {*in_layer("images"), *in_layer("av")}
SERVICES = {
    *(f"darkroom.services.{name}" for name in LAYERS["services"]),
    *(f"darkroom.jobs.{name}" for name in LAYERS["jobs"] if name not in ("workdir", "events", "worker")),
}

#: The only modules that may import a third-party package, where it belongs to few.
ALLOWED_IMPORTERS = {
    "pika": {"darkroom.services.amqp", "darkroom.services.broker_connection", "darkroom.services.rabbitmq"},
    "redis": {"darkroom.services.redis.client"},
    "aws_lambda_powertools": {"darkroom.log", "darkroom.metrics"},
    "mangum": {"api.main"},
    "jwt": {"functions.authorize.tokens"},
    "cryptography": set(),
    "pyvips": {
        "darkroom.images.color",
        "darkroom.images.vips",
        "darkroom.images.pillow",
        "darkroom.images.open",
        "darkroom.images.framing",
        "darkroom.images.metadata",
        "darkroom.images.encode_process",
        "darkroom.images.apng",
        "darkroom.images.auto_format",
        "darkroom.images.encode",
        "functions.watermark.lettering",
        "functions.video_thumbnail.storyboard",
        "functions.video_metadata.image_facts",
        "functions.resize.app",
        "functions.watermark.app",
        "functions.video_thumbnail.app",
        "functions.video_thumbnail.frames",
    },
    "PIL": {"darkroom.images.pillow"},
    "defusedxml": {"darkroom.images.xmp"},
    "pi_heif": {"darkroom.images.heic_process"},
}

#: The packages that each package may import.
ALLOWED_PACKAGES = {
    "darkroom": {"darkroom"},
    "api": {"api", "darkroom"},
    "functions": {"functions", "darkroom"},
    "localstack": {"localstack", "darkroom"},
    "tools": {"tools", "localstack", "darkroom"},
}

#: Calls that read the environment or connect to a service.
CONNECTING_CALLS = {"settings", "secret", "logger", "Logger", "client", "redis_client", "create_client"}


def ours(module: Module) -> set[str]:
    return module.imports & modules().keys()


def names(found: set[str]) -> str:
    return ", ".join(sorted(found))


def test_every_module_of_the_shared_package_has_a_layer() -> None:
    present = set(in_package("darkroom"))

    assert not present - set(ORDER), f"add {names(present - set(ORDER))} to its layer: {HELP}"
    assert not set(ORDER) - present, f"remove {names(set(ORDER) - present)}, which does not exist: {HELP}"


@pytest.mark.parametrize("name", ORDER)
def test_shared_module_imports_only_from_below(name: str) -> None:
    above = {other for other in ours(modules()[name]) if ORDER.index(other) >= ORDER.index(name)}

    assert not above, (
        f"{name} must not import {names(above)}, which is above it. Move the code that needs it up, or the code it "
        f"needs down. If only their order within a layer is wrong, change it: {HELP}"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_the_packages_it_may(package: str) -> None:
    allowed = ALLOWED_PACKAGES[package]

    for name, module in in_package(package).items():
        foreign = {other for other in ours(module) if other.split(".")[0] not in allowed}
        assert not foreign, f"{name} must not import {names(foreign)}: {package} may import {names(allowed)} only"
        tests = {other for other in module.imports if other.split(".")[0] == "tests"}
        assert not tests, f"{name} must not import {names(tests)}: no test code ships"


@pytest.mark.parametrize("operation", Operation)
def test_operation_imports_the_worker_and_no_service(operation: Operation) -> None:
    name = f"functions.{operation}.app"
    imports = ours(modules()[name])
    services = imports & (SERVICES | {"darkroom.jobs.events"})

    assert "darkroom.jobs.worker" in imports, f"{name} must make its handler with darkroom.jobs.worker.bind"
    assert not services, (
        f"{name} must not import {names(services)}: an operation gets its source from its task and returns renditions; "
        "the worker does everything that needs a service"
    )


def test_media_modules_import_no_service() -> None:
    for name in sorted(MEDIA):
        services = reachable_modules(name) & SERVICES
        assert not services, f"{name} must not load {names(services)}, not even through other modules"


def test_api_loads_no_media_engine_and_no_worker() -> None:
    loaded = reachable_modules("api.main")

    forbidden = (loaded & (MEDIA | {"darkroom.jobs.worker"})) | (third_party(loaded) & {"PIL", "pyvips"})
    assert not forbidden, f"the API must not load {names(forbidden)}: its function has no imaging layer"


@pytest.mark.parametrize("name", ["authorize", "ingest", "dispatch", "settle", "sweep", "topology"])
def test_functions_around_the_operations_load_neither_engine_nor_web_framework(name: str) -> None:
    loaded = reachable_modules(f"functions.{name}.app")

    packages = third_party(loaded) & {"PIL", "pyvips", "fastapi", "starlette"}
    forbidden = (loaded & (MEDIA | {"darkroom.jobs.worker"})) | packages
    assert not forbidden, f"functions.{name}.app must not load {names(forbidden)}: its function has the core layer only"


def test_authorizer_loads_neither_redis_nor_rabbitmq() -> None:
    loaded = third_party(reachable_modules("functions.authorize.app"))

    assert not loaded & {"pika", "redis"}, "the authorizer is outside the network"


def third_party(loaded: set[str]) -> set[str]:
    return {other.split(".")[0] for name in loaded for other in modules()[name].imports}


@pytest.mark.parametrize("package", ALLOWED_IMPORTERS)
def test_third_party_package_is_imported_only_where_it_belongs(package: str) -> None:
    importers = {
        name
        for name, module in shipped_modules().items()
        if package in {other.split(".")[0] for other in module.imports}
    }
    allowed = ALLOWED_IMPORTERS[package]

    assert importers <= allowed, f"{names(importers - allowed)} must not import {package}; use {names(allowed)}"
    assert importers >= allowed, (
        f"remove {names(allowed - importers)} from ALLOWED_IMPORTERS: it does not import {package}"
    )


def test_environment_is_read_in_one_module() -> None:
    readers = {
        name for name, module in shipped_modules().items() if {"environ", "getenv", "environb"} & mentioned(module)
    }

    assert readers == {"darkroom.config"}, "only darkroom.config reads the environment: add a setting there"


def mentioned(module: Module) -> set[str]:
    nodes = list(ast.walk(module.tree))
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return imported | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_no_module_connects_or_reads_the_environment_at_import() -> None:
    for name, module in shipped_modules().items():
        calls = module.called_at_import & CONNECTING_CALLS
        assert not calls, f"importing {name} must not call {names(calls)}: call it in the function that needs it"


def test_every_shipped_module_is_used() -> None:
    imported = {other for name, module in shipped_modules().items() for other in ours(module) - {name}}
    unused = {
        name
        for name, module in shipped_modules().items()
        if name not in imported and "handler" not in module.definitions and module.path.name != "__init__.py"
    }

    assert not unused, f"remove {names(unused)}: no other module imports it, and it has no handler"
