"""Arrows go one way. Read from the syntax, so that an import inside a function counts as well."""

import ast

import pytest

from darkroom.contracts.operations import Operation
from tests.code import PACKAGES, Module, in_package, modules, reachable_modules

#: The shared package in layers: a module may import from the layers before its own, and in its own only what is listed
#: before it.
LAYERS = {
    "": ["errors", "timestamps", "tracing", "log", "metrics", "config", "ids"],
    "contracts": ["base", "image_params", "audio_params", "video_params", "operations", "jobs"],
    "media": ["task", "types", "sniff", "geometry", "subprocesses"],
    "images": [
        *("icc", "color", "png", "vips", "heic_process", "heic", "pillow", "apng", "open", "framing"),
        *("xmp", "metadata", "encode_process", "auto_format", "encode"),
    ],
    "av": ["lengths", "ffmpeg", "probe", "keyframes", "filters", "tags", "loudness"],
    "services": ["aws", "s3", "redis.store", "rabbitmq"],
    "jobs": ["workdir", "events", "uploads", "ledger", "lifecycle", "ingestion", "worker"],
}


def in_layer(layer: str) -> list[str]:
    """The modules of one layer, below what its folder says of itself."""
    folder = f"darkroom.{layer}".rstrip(".")
    folders = {folder, *(f"{folder}.{name}".rpartition(".")[0] for name in LAYERS[layer])}
    return [*sorted(folders), *(f"{folder}.{name}" for name in LAYERS[layer])]


ORDER = [name for layer in LAYERS for name in in_layer(layer)]
MEDIA = {*in_layer("images"), *in_layer("av")}
SERVICES = {
    *(f"darkroom.services.{name}" for name in LAYERS["services"]),
    *(f"darkroom.jobs.{name}" for name in LAYERS["jobs"] if name not in ("workdir", "events", "worker")),
}

#: The only modules that may import a third-party package, where one place is meant to know it.
ALLOWED_IMPORTERS = {
    "pika": {"darkroom.services.rabbitmq"},
    "redis": {"darkroom.services.redis.store"},
    "aws_lambda_powertools": {"darkroom.log", "darkroom.metrics"},
    "mangum": {"api.main"},
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
    },
    "PIL": {"darkroom.images.pillow"},
    "defusedxml": {"darkroom.images.xmp"},
    "pi_heif": {"darkroom.images.heic_process"},
}


def ours(module: Module) -> set[str]:
    return module.imports & modules().keys()


def test_every_module_of_the_shared_package_has_a_layer() -> None:
    assert set(ORDER) == set(in_package("darkroom"))


@pytest.mark.parametrize("name", ORDER)
def test_shared_module_imports_only_from_below(name: str) -> None:
    above = {other for other in ours(modules()[name]) if ORDER.index(other) >= ORDER.index(name)}

    assert not above, f"{name} imports {above}"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_itself_and_what_it_is_built_on(package: str) -> None:
    allowed = {
        "darkroom": {"darkroom"},
        "api": {"api", "darkroom"},
        "functions": {"darkroom", "functions"},
        "localstack": {"localstack", "darkroom"},
    }[package]

    for name, module in in_package(package).items():
        foreign = {other for other in ours(module) if other.split(".")[0] not in allowed}
        assert not foreign, f"{name} imports {foreign}"
        assert not any(other.split(".")[0] == "tests" for other in module.imports), name


@pytest.mark.parametrize("operation", Operation)
def test_operation_knows_media_and_the_worker_but_no_service(operation: Operation) -> None:
    imports = ours(modules()[f"functions.{operation}.app"])

    assert "darkroom.jobs.worker" in imports
    assert not imports & (SERVICES | {"darkroom.jobs.events"}), "an operation knows nothing of queues, buckets or jobs"


def test_media_modules_know_no_service() -> None:
    for name in sorted(MEDIA):
        assert not reachable_modules(name) & SERVICES, name


def test_api_loads_no_media_engine_and_no_worker() -> None:
    loaded = reachable_modules("api.main")

    assert not loaded & (MEDIA | {"darkroom.jobs.worker"})
    assert not third_party(loaded) & {"PIL", "pyvips"}


@pytest.mark.parametrize("name", ["ingest", "dispatch", "settle", "sweep", "topology"])
def test_functions_around_the_operations_load_neither_engine_nor_web_framework(name: str) -> None:
    loaded = reachable_modules(f"functions.{name}.app")

    assert not loaded & (MEDIA | {"darkroom.jobs.worker"})
    assert not third_party(loaded) & {"PIL", "pyvips", "fastapi", "starlette"}


def third_party(names: set[str]) -> set[str]:
    return {other.split(".")[0] for name in names for other in modules()[name].imports}


@pytest.mark.parametrize("package", ALLOWED_IMPORTERS)
def test_third_party_package_is_known_in_its_place_only(package: str) -> None:
    shipped = {name: module for name, module in modules().items() if not name.startswith("localstack")}
    users = {name for name, module in shipped.items() if package in {other.split(".")[0] for other in module.imports}}

    assert users == ALLOWED_IMPORTERS[package]


def test_environment_is_read_in_one_place() -> None:
    readers = {
        name
        for name, module in modules().items()
        if not name.startswith("localstack") and {"environ", "getenv", "environb"} & mentioned(module)
    }

    assert readers == {"darkroom.config"}


def mentioned(module: Module) -> set[str]:
    nodes = list(ast.walk(module.tree))
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return imported | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_nothing_is_asked_of_a_service_or_the_environment_at_import() -> None:
    for name, module in modules().items():
        if not name.startswith("localstack"):
            at_import = module.called_at_import
            assert not at_import & {"settings", "client", "secret", "logger", "Logger", "create_client"}, name
