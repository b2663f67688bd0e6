"""What the Kubernetes runner builds, and what it makes of what the API server says; no server is asked."""

from __future__ import annotations

import dataclasses
import json
import re

import pydantic
import pytest
from kubernetes import client

from actuary.jobs import protocol
from actuary.jobs.cluster import builder, pods, runner, settings

SPEC = protocol.JobSpec(
    name="campaigns/c1/annotationJobs/annotate-w0",
    kind="annotation",
    campaign="campaigns/c1",
    indexes=20,
    parallelism=8,
    artifact="campaigns/c1/annotationJobs/annotate-w0",
    store_uri="s3://bucket/actuary",
)


def built(spec=SPEC, **wanted):
    """The Job as the API server would get it."""
    given = {"namespace": "ns", "image": "localhost/actuary:1", "credentials_seconds": 0, **wanted}
    made = settings.KubernetesSettings(**given)
    job = builder.job_of(spec, spec.uri, made)
    return client.ApiClient().sanitize_for_serialization(job)


def selects(selector, labels):
    """Whether the API server would find an object with these labels."""
    for term in re.split(r",(?![^(]*\))", selector):
        key, _, among = term.partition(" in ")
        if among:
            if labels.get(key) not in among.strip("()").split(","):
                return False
            continue
        key, _, value = term.partition("=")
        if key not in labels or (value and labels[key] != value):
            return False
    return True


class TestBuilder:
    def test_who_watches_some_kinds_is_told_of_these_and_of_its_own_installation_only(self):
        labels = built()["metadata"]["labels"]
        assert labels == labels | built()["spec"]["template"]["metadata"]["labels"]
        assert selects(builder.selector("actuary", ["plan", "annotation"]), labels)
        assert selects(builder.selector("actuary"), labels)
        assert not selects(builder.selector("actuary", ["critique", "plan"]), labels)
        assert not selects(builder.selector("other", ["annotation"]), labels)
        assert not selects(builder.selector("actuary"), {})

    def test_a_job_is_indexed_and_knows_drains_from_failures(self):
        spec = built()["spec"]
        assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 20, 8)
        assert spec["backoffLimitPerIndex"] == builder.PODS_BACKOFF_LIMIT
        assert spec["maxFailedIndexes"] == 0
        assert spec["podReplacementPolicy"] == "Failed"
        rules = spec["podFailurePolicy"]["rules"]
        assert [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in rules] == [
            ("FailIndex", [protocol.EXIT_PERMANENT]),
            ("Ignore", [protocol.EXIT_DRAINED]),
            ("Ignore", None),
        ]
        assert rules[2]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert "suspend" not in spec
        assert "activeDeadlineSeconds" not in spec

    def test_variables_of_a_kind_come_after_those_of_all_workers(self):
        given = {"name": "PROXY", "value": "all"}, {"name": "PROXY", "value": "annotators"}
        made = built(env=[given[0]], profiles={"annotation": {"env": [given[1]]}})
        assert made["spec"]["template"]["spec"]["containers"][0]["env"][-2:] == list(given)

    def test_a_pod_may_do_little(self):
        pod = built()["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["restartPolicy"] == "Never"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]

    def test_a_pod_gets_the_uri_and_learns_how_many_pods_it_had_before(self):
        (container,) = built()["spec"]["template"]["spec"]["containers"]
        assert container["command"] == ["actuary", "work", SPEC.uri, "--in-pod"]
        fields = {
            e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"] if "valueFrom" in e
        }
        assert fields == {
            "ACTUARY_POD_FAILURES": "metadata.annotations['batch.kubernetes.io/job-index-failure-count']",
            "ACTUARY_POD_DISRUPTIONS": (
                "metadata.annotations['batch.kubernetes.io/job-index-ignored-failure-count']"
            ),
        }

    def test_names_are_short_legal_and_never_shared(self):
        names = [
            builder.name_of(f"campaigns/{campaign}/{collection}/{job}")
            for campaign in ("a" * 63, "a" * 62, "1-2", "a")
            for collection in ("annotationJobs", "critiqueJobs")
            for job in ("annotate-w0", "annotate-w0-retry-2", "b" * 63)
        ]
        assert len(set(names)) == len(names)
        for name in names:
            assert len(name) <= 57
            assert name[0].isalpha()
            assert all(c.isalnum() or c == "-" for c in name)
            assert name == name.lower()

    def test_a_profile_by_kind_places_a_stage_on_its_nodes_with_its_model_server(self):
        gpu = {
            "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "8Gi"}},
            "node_selector": {"gpu": "h100"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "sidecars": [{"name": "triton", "image": "triton"}],
            "volumes": [{"name": "models", "emptyDir": {}}],
            "scratch": "1Gi",
        }
        pod = built(profiles={"annotation": gpu})["spec"]["template"]["spec"]
        assert pod["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": "1", "memory": "8Gi"}}
        assert pod["nodeSelector"] == {"gpu": "h100"}
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
        assert pod["initContainers"] == [{"name": "triton", "image": "triton", "restartPolicy": "Always"}]
        assert [volume["name"] for volume in pod["volumes"]] == ["scratch", "models"]
        plain = built(profiles={"train": gpu})["spec"]["template"]["spec"]
        assert "initContainers" not in plain
        assert "resources" not in plain["containers"][0]

    def test_a_queue_admits_what_is_created_suspended(self):
        job = built(queue="labels", priority="low", labels={"cost-centre": "42"})
        assert job["spec"]["suspend"] is True
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "labels"
        assert job["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "low"
        pod = job["spec"]["template"]["metadata"]["labels"]
        assert pod["cost-centre"] == "42"
        assert "kueue.x-k8s.io/queue-name" not in pod

    def test_credentials_are_mounted_and_the_trace_goes_on(self):
        spec = dataclasses.replace(SPEC, trace={"traceparent": "00-abc-def-01"})
        job = built(spec, credentials_seconds=3600, secret="shared")
        pod, name = job["spec"]["template"]["spec"], f"{job['metadata']['name']}-store"
        assert {"name": "store", "secret": {"secretName": name, "defaultMode": 0o440}} in pod["volumes"]
        env = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert env["ACTUARY_STORAGE_SESSION_TOKEN_FILE"] == f"{builder.CREDENTIALS_FOLDER}/session_token"
        assert "ACTUARY_STORAGE_ACCESS_KEY" not in env
        assert env["TRACEPARENT"] == "00-abc-def-01"
        assert json.loads(job["metadata"]["annotations"][builder.ACCESS]) == {
            "store": "s3://bucket/actuary",
            "reads": ["campaigns/c1/jobs/annotationJobs-annotate-w0/job.json"],
            "lists": [],
            "writes": ["campaigns/c1/annotationJobs/annotate-w0/"],
            "files": [],
        }

    def test_a_store_that_is_no_server_gives_no_credentials(self):
        job = built(dataclasses.replace(SPEC, store_uri="file:///data"), credentials_seconds=3600)
        assert [volume["name"] for volume in job["spec"]["template"]["spec"]["volumes"]] == ["scratch"]
        assert builder.ACCESS not in job["metadata"]["annotations"]

    @pytest.mark.parametrize(("seconds", "said"), [(60, "at least 3600"), (604_801, "604800"), (-1, "0")])
    def test_a_life_that_no_store_gives_is_refused(self, seconds, said):
        with pytest.raises(pydantic.ValidationError, match=said):
            settings.KubernetesSettings(credentials_seconds=seconds)

    def test_without_credentials_of_its_own_a_pod_gets_those_of_the_cluster(self):
        (container,) = built(secret="store", config_map="workers")["spec"]["template"]["spec"]["containers"]
        keys = {e["name"]: e["valueFrom"].get("secretKeyRef") for e in container["env"] if "valueFrom" in e}
        assert keys["ACTUARY_STORAGE_ACCESS_KEY"] == {"name": "store", "key": "access_key"}
        assert keys["ACTUARY_STORAGE_SECRET_KEY"] == {"name": "store", "key": "secret_key"}
        assert container["envFrom"] == [{"configMapRef": {"name": "workers"}}]

    @pytest.mark.parametrize(("own", "default", "expected"), [(None, 0, None), (None, 60, 60), (0.2, 60, 1)])
    def test_a_deadline_is_the_jobs_or_the_clusters(self, own, default, expected):
        spec = dataclasses.replace(SPEC, deadline_seconds=own)
        assert built(spec, deadline_seconds=default)["spec"].get("activeDeadlineSeconds") == expected


def pod(index=0, *, phase="Pending", created="2026-01-01T00:00:00Z", **status):
    """A pod as the API server writes it."""
    return pods.pod_of(
        {
            "metadata": {
                "name": f"c1-{index}",
                "creationTimestamp": created,
                "labels": {pods.JOB: "c1", pods.INDEX: str(index), builder.KIND: "annotation"},
            },
            "spec": {
                "containers": [
                    {"name": "worker", "image": "reg/actuary:9", "resources": {"limits": {"memory": "1Gi"}}}
                ]
            },
            "status": {"phase": phase, **status},
        }
    )


def waiting(reason, message):
    return {
        "containerStatuses": [
            {"name": "worker", "state": {"waiting": {"reason": reason, "message": message}}}
        ]
    }


def terminated(code, *, reason="Error", message=""):
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return {"phase": "Failed", "containerStatuses": [{"name": "worker", "state": state}]}


def status_of(*there, refused="", labels=None, **status):
    job = {"metadata": {"name": "c1", "labels": labels or {}}, "status": status}
    return runner.status_of(job, list(there), refused)


CRASHED = {"code": "INTERNAL", "reason": "WORKER_CRASHED", "message": "killed by SIGKILL", "metadata": {}}
UNSCHEDULABLE = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes: 1 too small",
        }
    ]
}
WAITING = {
    "no image": (
        pod(3, **waiting("ErrImageNeverPull", "not present")),
        "index 3: the image reg/actuary:9 of container worker cannot be pulled (ErrImageNeverPull): "
        "not present",
    ),
    "no room": (pod(3, **UNSCHEDULABLE), "index 3: no node takes it: 0/1 nodes: 1 too small"),
    "no secret": (
        pod(3, **waiting("CreateContainerConfigError", 'secret "x" not found')),
        'index 3: container worker cannot start (CreateContainerConfigError): secret "x" not found',
    ),
    "out of memory": (
        pod(3, **terminated(137, reason="OOMKilled")),
        "index 3: out of memory: the worker took its limit of 1Gi. Raise "
        "worker.profiles.annotation.resources.limits.memory in the chart's values; it is started again",
    ),
    "out of memory in a child": (
        pod(3, **terminated(1, message=json.dumps({**CRASHED, "reason": protocol.OUT_OF_MEMORY}))),
        "index 3: out of memory: the worker took its limit of 1Gi. Raise "
        "worker.profiles.annotation.resources.limits.memory in the chart's values; it is started again",
    ),
    "too little memory to begin": (
        pod(3, **terminated(128, reason="StartError", message="runc: container init was OOM-killed")),
        "index 3: out of memory: the worker took its limit of 1Gi. Raise "
        "worker.profiles.annotation.resources.limits.memory in the chart's values; it is started again",
    ),
    "no program": (
        pod(3, **terminated(128, reason="StartError", message='exec: "actuary": not found')),
        'index 3: its container could not start: exec: "actuary": not found; it is started again',
    ),
    "scratch full": (
        pod(
            3,
            phase="Failed",
            reason="Evicted",
            message='Usage of EmptyDir volume "scratch" exceeds the limit "10Gi". ',
        ),
        'index 3: evicted from its node: Usage of EmptyDir volume "scratch" exceeds the limit "10Gi". Raise '
        "worker.profiles.annotation.scratch in the chart's values; it is started again",
    ),
    "no volume": (
        pods.unmounted(
            pod(3, **waiting("ContainerCreating", "")), 'MountVolume: secret "c1-store" not found'
        ),
        'index 3: a volume cannot be mounted: MountVolume: secret "c1-store" not found. It holds the Job\'s '
        "credentials for the store; the service that runs the Job writes it anew when that is started again "
        "(kubectl rollout restart)",
    ),
    "another volume": (
        pods.unmounted(pod(3), 'configmap "models" not found'),
        'index 3: a volume cannot be mounted: configmap "models" not found',
    ),
    "mounted meanwhile": (pods.unmounted(pod(3, phase="Running"), 'secret "c1-store" not found'), ""),
    "evicted": (
        pod(3, phase="Failed", reason="Evicted", message="The node was low on resource: ephemeral-storage."),
        "index 3: evicted from its node: The node was low on resource: ephemeral-storage; it is started "
        "again",
    ),
    "starting": (pod(3, **waiting("ContainerCreating", "")), ""),
    "running": (pod(3, phase="Running"), ""),
    "drained": (pod(3, **terminated(protocol.EXIT_DRAINED)), ""),
}


class TestStatus:
    @pytest.mark.parametrize("case", WAITING)
    def test_what_keeps_a_pod_from_running_is_said_in_words(self, case):
        seen, expected = WAITING[case]
        assert status_of(seen, active=1).waiting == expected

    def test_a_quota_that_refuses_pods_and_a_queue_are_named(self):
        refused = 'pods "c1-0" is forbidden: exceeded quota: team, requested: pods=1'
        assert status_of(refused=refused).waiting == f"no pod can be created: {refused}"
        assert status_of(pod(0, phase="Running"), refused=refused, active=1).waiting == ""
        suspended = [{"type": "Suspended", "status": "True"}]
        assert status_of(conditions=suspended, labels={builder.QUEUE: "q"}).waiting == (
            "suspended until the queue q admits it"
        )

    def test_counts_come_from_the_job(self):
        seen = status_of(
            pod(0, **terminated(1)), pod(1, phase="Running"), active=1, completedIndexes="0,2-4", succeeded=4
        )
        assert (seen.state, seen.indexes_succeeded, seen.indexes_running) == ("running", 4, 1)
        assert status_of(conditions=[{"type": "Complete", "status": "True"}]).state == "succeeded"

    def test_a_failed_index_tells_the_error_that_its_worker_gave(self):
        error = {"code": "NOT_FOUND", "reason": "NOT_FOUND", "message": "no such file", "metadata": {}}
        last = pod(7, **terminated(3, message=f"some line\n{json.dumps(error)}"))
        before = pod(7, created="2025-12-31T00:00:00Z", **terminated(1, message="an earlier one"))
        failed = [
            {"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed"}
        ]
        seen = status_of(before, last, conditions=failed, failedIndexes="7")
        assert seen.state == "failed"
        (failure,) = seen.failed
        assert (failure.index, failure.exit_code, failure.reason, failure.error) == (
            7,
            3,
            "no such file",
            error,
        )

    def test_an_index_that_failed_for_want_of_memory_tells_the_limit_and_not_the_signal(self):
        last = pod(2, **terminated(1, reason="OOMKilled", message=json.dumps(CRASHED)))
        failed = {"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed"}
        (failure,) = status_of(last, conditions=[failed], failedIndexes="2").failed
        assert failure.error["reason"] == protocol.OUT_OF_MEMORY
        assert failure.error["message"] == (
            "index 2: out of memory: the worker took its limit of 1Gi. Raise "
            "worker.profiles.annotation.resources.limits.memory in the chart's values"
        )

    def test_an_index_that_overfills_its_scratch_again_and_again_fails(self):
        full = {
            "phase": "Failed",
            "reason": "Evicted",
            "message": 'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". ',
        }
        evictions = [pod(2, created=f"2026-01-01T00:00:0{n}Z", **full) for n in range(runner.OVERFILLS)]
        other = pod(1, phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
        assert status_of(*evictions[1:], *[other] * 9, active=1).state == "running"

        seen = status_of(*evictions, other, active=1)

        (failure,) = seen.failed
        assert (seen.state, failure.index, failure.error["reason"]) == ("failed", 2, pods.SCRATCH_FULL)
        assert failure.error["message"] == (
            'index 2: evicted from its node: Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". '
            "Raise worker.profiles.annotation.scratch in the chart's values"
        )

    def test_a_deadline_and_pods_that_are_gone_are_told_by_the_jobs_condition(self):
        late = {
            "type": "Failed",
            "status": "True",
            "reason": "DeadlineExceeded",
            "message": "Job was active too long",
        }
        seen = status_of(pod(1, **terminated(75)), conditions=[late])
        assert seen.failed[0].reason == "DeadlineExceeded: Job was active too long"
        gone = {
            "type": "Failed",
            "status": "True",
            "reason": "FailedIndexes",
            "message": "Job has failed indexes",
        }
        assert status_of(conditions=[gone], failedIndexes="3").failed[0].reason == (
            "FailedIndexes: Job has failed indexes"
        )

    @pytest.mark.parametrize("text", ["", "no json", "[1]", '{"message": "half"}', "x\n{"])
    def test_last_words_that_are_no_error_are_none(self, text):
        assert pods.error_in(text) is None


class TestOutdated:
    def test_what_operators_decide_about_a_kind_and_about_all_marks_its_jobs(self):
        def mark(kind="annotation", **wanted):
            return builder.digest_of(settings.KubernetesSettings(namespace="ns", **wanted), kind)

        train = {"profiles": {"train": {"scratch": "1Gi"}}}
        assert built()["metadata"]["annotations"][builder.SETTINGS] == mark(
            image="localhost/actuary:1", credentials_seconds=0
        )
        assert mark() == mark() == mark(**train)
        changes = [{}, {"image": "other"}, {"queue": "q"}, {"profiles": {"annotation": {"scratch": "1Gi"}}}]
        assert len({mark(**each) for each in changes}) == len(changes)
        assert mark("train") != mark("train", **train)

    @pytest.mark.parametrize(
        ("there", "conditions", "made", "expected"),
        [
            ([], [], "new", False),
            ([], [], "old", True),
            ([], [], None, True),
            ([pod(0), pod(1)], [], "old", True),
            ([pod(0), pod(1, phase="Running")], [], "old", False),
            ([], [{"type": "Suspended", "status": "True"}], "old", False),
        ],
    )
    def test_only_a_job_that_nothing_runs_of_and_no_queue_holds_is_made_anew(
        self, there, conditions, made, expected
    ):
        metadata = {} if made is None else {"annotations": {builder.SETTINGS: made}}
        job = {"metadata": metadata, "status": {"conditions": conditions}}
        assert runner.outdated(job, there, "new") is expected
