"""Valid images, truncated and randomly damaged."""

from collections.abc import Iterator
from random import Random

from tests.hostile.image_samples import HostileImage, valid_images


def truncated_files() -> Iterator[HostileImage]:
    """Every valid file, truncated at every tenth."""
    for name, content in valid_images().items():
        for tenth in range(10):
            yield HostileImage("truncated", f"{tenth * 10}%-{name}", content[: len(content) * tenth // 10])


_EDGES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0",
    b"\xff\xff",
    b"\x7f\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
)


def mutants(count: int, seed: int = 1) -> Iterator[HostileImage]:
    """`count` randomly damaged files, spread evenly over the valid ones; determined by `seed`."""
    names = sorted(valid_images())
    for number in range(count):
        name = names[number % len(names)]
        generator = Random(f"{seed} {number}")
        content = bytearray(valid_images()[name])
        for _ in range(generator.choice((1, 1, 2, 4, 16))):
            _mutate(content, generator)
        yield HostileImage("mutant", f"{number:05}-{name}", bytes(content), may_pass=True)


def _mutate(content: bytearray, generator: Random) -> None:
    # The first bytes are mostly kept, or the type would not be detected; headers are damaged more often.
    start = generator.choice((4, 8, 12))
    end = len(content) if generator.random() < 0.5 else min(len(content), 400)
    at = generator.randrange(start, max(end, start + 1))
    operation = generator.randrange(7)
    if operation == 0:
        content[at : at + 1] = bytes([generator.randrange(256)])
    elif operation == 1 and at < len(content):
        content[at] ^= 1 << generator.randrange(8)
    elif operation == 2:
        edge = generator.choice(_EDGES)
        content[at : at + len(edge)] = edge
    elif operation == 3:
        del content[at : at + generator.choice((1, 2, 4, 30, 300))]
    elif operation == 4:
        content[at:at] = generator.randbytes(generator.choice((1, 2, 4, 30, 300)))
    elif operation == 5:
        source = generator.randrange(start, len(content) + 1)
        content[at:at] = content[source : source + generator.choice((4, 16, 64))]
    else:
        content[at : at + 16] = generator.randbytes(16)
