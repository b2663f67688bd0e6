"""Measures what Actuary adds to a Kubernetes Job on the cluster of KUBECONFIG; one JSON object a line.

- `k8s.job_ratio`: a null annotation Job through Actuary over the same Job created bare, end to end
- `k8s.start_seconds`, `k8s.finish_seconds`: of a Job with two indexes, Create to the first item done, and the
  last item done to SUCCEEDED
- `k8s.api_calls_per_1000_indices`: calls of all services to the API server while a Job runs

The bare Job is Actuary's own with another name and command, without the Secret of the Job's credentials: its
pods start the same Python, import the same modules, and end. How many pods run at once is the node's matter:
each asks for so little CPU that both sides have the processors busy all the time. What workers wait for (the
annotator, the store, the database) asks for more than they do, as it would in production: processor time goes
by requests, and with 20m the service answered a wave of workers only when all of them had stopped to wait.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))

from actuary import names
from actuary.jobs.cluster import builder
from actuary.stats import prn
from actuary.storage import artifacts, location, objects, schemas, tables
from actuary.storage import settings as storage_settings
from actuary.v1 import (
    annotation_job_pb2,
    annotator_service_pb2,
    annotator_service_pb2_grpc,
    job_pb2,
    model_pb2,
)
from e2e import conftest

CAMPAIGN = "campaigns/bench"
CLASSES = ("negative", "neutral", "positive")
ITEMS_A_SHARD = 5
LARGE = 5_000
WATCHED_SECONDS = 60
"""How long the calls for a large Job that waits are counted."""
POD_CPU = "100m"
WAITED_FOR_CPU = "200m"
WAITED_FOR = ("services.annotator", "minio", "postgresql")
WAIT_SECONDS = 1_800
IMPORTED = (
    "actuary.cli.main, actuary.cli.worker, actuary.jobs.supervisor, actuary.jobs.worker, "
    "actuary.annotator.work, actuary.models.null, actuary.storage.minio_store, actuary.rpc.reporter"
)
"""What a worker of a null annotation Job imports."""


def _emit(benchmark: str, value: float, unit: str, **more: object) -> None:
    line = {"benchmark": benchmark, "value": round(value, 3), "unit": unit, **more}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def _items(store: objects.ObjectStore, filled: int, shards: int) -> str:
    """Writes items in some of the shards; returns their URI."""
    uri = f"{CAMPAIGN}/importJobs/import-{filled}-{shards}/items"
    refs = []
    for number in range(filled):
        ids = [f"item-{number:05d}-{n}" for n in range(ITEMS_A_SHARD)]
        u = prn.digest(ids, prn.project_key(0))[1]
        columns = {"item_id": ids, "text": ids, "split": ["pool"] * len(ids), "u": u}
        table = schemas.conform(pa.table(columns), schemas.ITEMS)
        refs.append(
            tables.write_table(store, tables.shard_key(uri, number), table, schemas.ITEMS, shard=number)
        )
    manifest = artifacts.Manifest(
        uri=uri,
        table="items",
        version=1,
        objects=tuple(refs),
        code_version="bench",
        counts={"pool": filled * ITEMS_A_SHARD},
        shards=shards,
    )
    artifacts.write_manifest(store, manifest)
    return uri


class Annotator:
    """The annotator service of a release, from outside."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._stub = annotator_service_pb2_grpc.AnnotatorServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def create(self, job_id: str, items: str, workers: int) -> str:
        """Creates a null Job; returns its name."""
        job = annotation_job_pb2.AnnotationJob(
            items=items,
            task={"instruction": "Which?", "classes": [{"name": name} for name in CLASSES]},
            model=model_pb2.ModelSpec(
                kind="null", prices={"input_micros_per_1000_tokens": 0, "output_micros_per_1000_tokens": 0}
            ),
            worker_count=workers,
        )
        request = annotator_service_pb2.CreateAnnotationJobRequest(
            parent=CAMPAIGN, annotation_job_id=job_id, annotation_job=job
        )
        return self._stub.CreateAnnotationJob(request).name

    def cancel(self, name: str) -> None:
        self._stub.CancelAnnotationJob(annotator_service_pb2.CancelAnnotationJobRequest(name=name))

    def wait(self, name: str) -> job_pb2.JobStatus:
        """Waits until a Job has succeeded."""
        request = annotator_service_pb2.GetAnnotationJobRequest(name=name)

        def ended() -> job_pb2.JobStatus | None:
            status = self._stub.GetAnnotationJob(request).status
            running = (job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING)
            return None if status.state in running else status

        status = conftest.wait_for(ended, f"{name} to end", WAIT_SECONDS)
        if status.state != job_pb2.JOB_STATE_SUCCEEDED:
            raise SystemExit(f"{name}: {status}")
        return status


def _calls(cluster: conftest.Cluster) -> dict[str, float]:
    """Calls to the API server of all services by now, by verb."""
    return conftest.wait_for(lambda: _counted(cluster), "every service to show its metrics")


def _counted(cluster: conftest.Cluster) -> dict[str, float] | None:
    """The calls, where every pod of a service answers; one that is being replaced does not."""
    found: dict[str, float] = {}
    for pod in cluster.get("pods", "-l", f"app.kubernetes.io/component in ({','.join(conftest.SERVICES)})"):
        if "deletionTimestamp" in pod["metadata"]:
            continue
        name = pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{cluster.namespace}/pods/{name}:9411/proxy/metrics"
        page = cluster.kubectl("get", "--raw", path, check=False)
        if "actuary_" not in page:
            return None
        for verb, value in re.findall(r'^actuary_kubernetes_calls_total\{verb="(\w+)"\} (\S+)$', page, re.M):
            found[verb] = found.get(verb, 0.0) + float(value)
    return found


def _more(after: dict[str, float], before: dict[str, float]) -> dict[str, int]:
    grown = {verb: int(after[verb] - before.get(verb, 0.0)) for verb in sorted(after)}
    return {verb: count for verb, count in grown.items() if count}


@contextlib.contextmanager
def _store(cluster: conftest.Cluster) -> Iterator[objects.ObjectStore]:
    """The store of the release, with the keys of its Secret."""
    secret = json.loads(cluster.kubectl("get", "secret", "actuary-minio", "-o", "json"))["data"]
    keys = {name: base64.b64decode(value).decode() for name, value in secret.items()}
    with cluster.forward("actuary-minio", 9000) as address:
        options = storage_settings.StorageSettings(endpoint=f"http://{address}", **keys)
        yield location.open_store("s3://actuary/actuary", options)


def _bare(job: Mapping[str, Any], name: str, indexes: int) -> dict[str, Any]:
    """The Job of Actuary as a person would create it who only wants its pods to start and end."""
    spec = json.loads(json.dumps(job["spec"]))
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    container["command"] = ["python", "-c", f"import {IMPORTED}"]
    secrets = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
    pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] not in secrets]
    container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] not in secrets]
    container["env"] = [
        each for each in container["env"] if not each.get("value", "").startswith(builder.CREDENTIALS_FOLDER)
    ]
    spec["template"]["metadata"] = {"labels": {"bare": name}}
    kept = (
        "completionMode",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "podFailurePolicy",
        "podReplacementPolicy",
    )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            **{key: spec[key] for key in kept if key in spec},
            "template": spec["template"],
            "completions": indexes,
            "parallelism": indexes,
        },
    }


def _stamped_seconds(cluster: conftest.Cluster, name: str) -> float:
    """From a Job's creation to its completion as Kubernetes stamps them, in whole seconds."""
    job = json.loads(cluster.kubectl("get", "job", name, "-o", "json"))
    begun, ended = job["metadata"]["creationTimestamp"], job["status"]["completionTime"]
    return (datetime.datetime.fromisoformat(ended) - datetime.datetime.fromisoformat(begun)).total_seconds()


def _forget(cluster: conftest.Cluster, name: str) -> None:
    """Deletes a Job and waits until its pods are gone: a kubelet with many dead pods is slower."""
    cluster.kubectl("delete", "job", name, "--cascade=foreground", "--wait", f"--timeout={WAIT_SECONDS}s")


def _run_bare(cluster: conftest.Cluster, form: Mapping[str, Any]) -> tuple[float, float]:
    """Runs a bare Job; returns its seconds on the clock of this process, and as Kubernetes stamps them."""
    name = form["metadata"]["name"]
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(form))
    start = time.monotonic()
    cluster.kubectl("wait", f"job/{name}", "--for=condition=Complete", f"--timeout={WAIT_SECONDS}s")
    seconds = time.monotonic() - start
    stamped = _stamped_seconds(cluster, name)
    _forget(cluster, name)
    return seconds, stamped


def _run_ours(
    cluster: conftest.Cluster, annotator: Annotator, job_id: str, items: str, indexes: int
) -> tuple[float, float, dict[str, int]]:
    """Runs a Job; returns Create to SUCCEEDED, its Kubernetes Job's seconds, and the calls by verb."""
    before = _calls(cluster)
    name = annotator.create(job_id, items, indexes)
    status = annotator.wait(name)
    calls = _more(_calls(cluster), before)
    seconds = (status.end_time.ToNanoseconds() - status.create_time.ToNanoseconds()) / 1e9
    there = builder.name_of(name)
    conftest.wait_for(
        lambda: cluster.kubectl("get", "job", there, "-o", "jsonpath={.status.completionTime}"),
        f"{there} to end",
    )
    stamped = _stamped_seconds(cluster, there)
    return seconds, stamped, calls


def _small(cluster: conftest.Cluster, annotator: Annotator, store: objects.ObjectStore) -> dict[str, Any]:
    """Measures Jobs of two indexes; returns one of them as Kubernetes has it."""
    items = _items(store, 2, 2)
    starts, finishes = [], []
    for number in range(3):
        name = annotator.create(f"small-{number}", items, 2)
        status = annotator.wait(name)
        made = [info.modified.timestamp() for info in store.list(f"{names.artifact(name)}/shard-")]
        starts.append(min(made) - status.create_time.ToNanoseconds() / 1e9)
        finishes.append(status.end_time.ToNanoseconds() / 1e9 - max(made))
    shown = "first shard of items in the store"
    _emit("k8s.start_seconds", min(starts), "s", of=f"Create to the {shown}", all=_rounded(starts))
    _emit("k8s.finish_seconds", min(finishes), "s", of="last shard to SUCCEEDED", all=_rounded(finishes))
    return json.loads(cluster.kubectl("get", "job", builder.name_of(name), "-o", "json"))


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]


def _ratio(
    cluster: conftest.Cluster,
    annotator: Annotator,
    store: objects.ObjectStore,
    like: Mapping[str, Any],
    indexes: int,
    rounds: int,
) -> None:
    """Measures both sides in turns, the one that begins changing."""
    items = _items(store, indexes, indexes)
    ours, bare, ours_stamped, bare_stamped = [], [], [], []
    calls: list[dict[str, int]] = []
    for number in range(rounds):
        for side in ("bare", "ours") if number % 2 == 0 else ("ours", "bare"):
            if side == "ours":
                seconds, stamped, made = _run_ours(cluster, annotator, f"full-{number}", items, indexes)
                _forget(cluster, builder.name_of(f"{CAMPAIGN}/annotationJobs/full-{number}"))
                ours.append(seconds)
                ours_stamped.append(stamped)
                calls.append(made)
            else:
                seconds, stamped = _run_bare(cluster, _bare(like, f"bare-{number}", indexes))
                bare.append(seconds)
                bare_stamped.append(stamped)
            _say(f"round {number}, {side}: {seconds:.1f} s, stamped {stamped:.0f} s")
    _emit(
        "k8s.job_ratio",
        min(ours) / min(bare),
        "ratio",
        against=1.1,
        of="Create to SUCCEEDED, nothing taken off, over a bare Job's creation to Complete; minima",
        indexes=indexes,
        ours_seconds=_rounded(ours),
        bare_seconds=_rounded(bare),
        ours_kubernetes_job_seconds=ours_stamped,
        bare_kubernetes_job_seconds=bare_stamped,
    )
    for seconds, made in zip(ours, calls, strict=True):
        _emit_calls(made, indexes, seconds, "to SUCCEEDED")


def _emit_calls(calls: Mapping[str, int], indexes: int, seconds: float, how: str) -> None:
    _emit(
        "k8s.api_calls_per_1000_indices",
        1000 * sum(calls.values()) / indexes,
        "calls",
        of=f"all services, a Job of {indexes:,} indexes {how}; a watch is made anew every 120 s",
        calls=calls,
        seconds=round(seconds, 1),
    )


def _large(cluster: conftest.Cluster, values: Sequence[str], indexes: int) -> None:
    """Counts calls for a Job of many indexes that a queue does not admit: it waits, and is looked at."""
    cluster.helm("upgrade", "actuary", *values, "--set", "worker.queue=bench", "--wait", "--timeout", "5m")
    with _store(cluster) as store, _annotator(cluster) as annotator:
        items = _items(store, 2, indexes)
        before, start = _calls(cluster), time.monotonic()
        name = annotator.create("large", items, indexes)
        end = start + WATCHED_SECONDS
        conftest.wait_for(lambda: time.monotonic() > end, "calls to be made", 2 * WATCHED_SECONDS)
        calls, seconds = _more(_calls(cluster), before), time.monotonic() - start
        job = json.loads(cluster.kubectl("get", "job", builder.name_of(name), "-o", "json"))
        if (job["spec"]["completions"], job["spec"].get("suspend")) != (indexes, True):
            raise SystemExit(f"expected a suspended Job of {indexes} indexes; got {job['spec']}")
        annotator.cancel(name)
    _emit_calls(calls, indexes, seconds, f"that waits suspended for {WATCHED_SECONDS} s")


@contextlib.contextmanager
def _annotator(cluster: conftest.Cluster) -> Iterator[Annotator]:
    with cluster.forward("actuary-annotator", 7411) as address:
        service = Annotator(address)
        try:
            yield service
        finally:
            service.close()


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--indexes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--large", type=int, default=LARGE)
    parser.add_argument("--set", action="append", default=[], help="a further value of the chart")
    options = parser.parse_args()
    given = [
        f"worker.profiles.default.resources.requests.cpu={POD_CPU}",
        *(f"{part}.resources.requests.cpu={WAITED_FOR_CPU}" for part in WAITED_FOR),
        *options.set,
    ]
    values = [
        conftest.CHART,
        "-f",
        conftest.HERE / "values.yaml",
        *(x for each in given for x in ("--set", each)),
    ]
    with conftest.namespace("actuary-bench") as cluster:
        cluster.helm("install", "actuary", *values, "--wait", "--timeout", "5m")
        _say(f"installed in {cluster.namespace}")
        with _store(cluster) as store, _annotator(cluster) as annotator:
            like = _small(cluster, annotator, store)
            _ratio(cluster, annotator, store, like, options.indexes, options.rounds)
        _large(cluster, values, options.large)


if __name__ == "__main__":
    main()
