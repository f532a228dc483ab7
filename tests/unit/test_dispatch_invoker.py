"""The calls with which dispatch starts runs: signed, over TLS, repeated with pauses."""

import gc
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom import timeouts
from darkroom.services import aws
from functions.dispatch.invoker import CALLS_WHILE_AVAILABLE, Answer, Batch, Start, invoker
from tests.support.certificates import make_server_context
from tests.support.lambda_stub import LambdaStub, Reply, running_stub

PAYLOAD = json.dumps({"message": {"job_id": "a-job"}}).encode()


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials and a region."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    aws._session.cache_clear()
    aws.client.cache_clear()
    yield
    aws._session.cache_clear()
    aws.client.cache_clear()


@pytest.fixture
def stub() -> LambdaStub:
    return LambdaStub(latency_s=0)


def start(url: str, seconds: float = 5, *, available: bool = False) -> Start:
    """Starts a run at the URL. `available` is whether Lambda has started others of the batch."""
    os.environ["AWS_ENDPOINT_URL_LAMBDA"] = url
    calls = invoker()
    batch = Batch(time.monotonic() + seconds)
    if available:
        batch.available.set()
    return calls.start("darkroom-resize", PAYLOAD, batch).result()


def test_call_is_signed_for_lambda_and_asks_for_an_asynchronous_run(stub: LambdaStub) -> None:
    with running_stub(stub) as url:
        assert start(url) == Start(Answer.STARTED, calls=1)

    head = stub.heads[0].decode()
    assert head.startswith("POST /2015-03-31/functions/darkroom-resize/invocations HTTP/1.1")
    assert "X-Amz-Invocation-Type: Event" in head
    assert "Credential=a-key/" in head
    assert "/eu-west-1/lambda/aws4_request" in head


def test_call_passes_on_the_trace_by_which_lambda_detects_loops(
    stub: LambdaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "darkroom-dispatch")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-2-3;Lineage=1:2:3")

    with running_stub(stub) as url:
        start(url)

    assert "X-Amzn-Trace-Id: Root=1-2-3;Lineage=1:2:3" in stub.heads[0].decode()


@pytest.mark.filterwarnings("ignore:unclosed")  # asyncio does not close the transport of a handshake that failed
def test_call_over_tls_trusts_the_authorities_of_the_system_only(
    stub: LambdaStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, certificate = make_server_context(tmp_path)
    with running_stub(stub, context) as url:
        untrusted = start(url, 0.1)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        aws.client.cache_clear()
        trusted = start(url)

    assert untrusted.answer is not Answer.STARTED
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted.reason
    assert trusted.answer is Answer.STARTED
    assert len(stub.started) == 1
    gc.collect()


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (Reply.THROTTLED, Answer.REFUSED),
        (Reply.DENIED, Answer.REFUSED),
        (Reply.FAILED, Answer.UNKNOWN),
        (Reply.LOST, Answer.UNKNOWN),
        (Reply.RESET_BEFORE, Answer.UNKNOWN),
        (Reply.RESET_AFTER, Answer.UNKNOWN),
    ],
)
def test_only_a_refusal_tells_that_no_run_was_started(
    reply: Reply, answer: Answer, stub: LambdaStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.decide = lambda _payload, _earlier: reply
    monkeypatch.setattr(timeouts, "_current", replace(timeouts.BACKGROUND, storage_read_s=1.0))

    with running_stub(stub) as url:
        assert start(url, 0.3).answer is answer


def test_connection_that_is_refused_has_sent_nothing() -> None:
    assert start("http://127.0.0.1:9", 0.1).answer is Answer.REFUSED


def test_calls_end_early_while_lambda_starts_other_runs_and_go_on_while_it_starts_none(stub: LambdaStub) -> None:
    stub.decide = lambda _payload, _earlier: Reply.THROTTLED

    with running_stub(stub) as url:
        busy, down = start(url, 60, available=True), start(url, 3.5)

    assert busy.calls == CALLS_WHILE_AVAILABLE
    assert CALLS_WHILE_AVAILABLE < down.calls <= 8


def test_no_call_begins_after_the_deadline(stub: LambdaStub) -> None:
    with running_stub(stub) as url:
        late = start(url, -0.1)

    assert (late.answer, late.calls) == (Answer.REFUSED, 0)
    assert stub.heads == []


def test_pause_is_as_long_as_lambda_asks_for(stub: LambdaStub) -> None:
    stub.decide = lambda _payload, earlier: Reply.ACCEPTED if earlier else Reply.THROTTLED
    stub.retry_after_s = 1
    began = time.monotonic()

    with running_stub(stub) as url:
        assert start(url) == Start(Answer.STARTED, calls=2)

    assert time.monotonic() - began >= 1


def test_connection_that_was_closed_while_idle_is_replaced(stub: LambdaStub) -> None:
    stub.idle_s = 0.05
    with running_stub(stub) as url:
        start(url)
        time.sleep(0.3)

        assert start(url) == Start(Answer.STARTED, calls=1)
