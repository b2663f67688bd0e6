"""What the chart renders, without a cluster: settings that services know, refusals that name the value."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from actuary import client as clients
from actuary.cli import settings as process_settings
from actuary.cli.commands import servers
from actuary.jobs import planning, protocol
from actuary.jobs.cluster import builder
from actuary.jobs.cluster import settings as cluster_settings
from actuary.rpc import validation
from actuary.storage import settings as storage_settings
from e2e import conftest

CLASSES = (
    cluster_settings.KubernetesSettings,
    storage_settings.StorageSettings,
    planning.PlanningSettings,
    process_settings.ProcessSettings,
)


def render(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `helm template` with the values of the tests."""
    command = ["helm", "template", "label", str(conftest.CHART), "--kube-version", "1.34.0"]
    values = ["-f", str(conftest.HERE / "values.yaml")]
    return subprocess.run([*command, *values, *arguments], capture_output=True, text=True, check=False)


def objects(*arguments: str) -> dict[tuple[str, str], dict]:
    """What is rendered, by kind and name."""
    done = render(*arguments)
    assert done.returncode == 0, done.stderr
    documents = [each for each in yaml.safe_load_all(done.stdout) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def test_every_variable_is_a_setting_and_every_value_one_that_it_takes(monkeypatch):
    made = objects("--set", "worker.labels.team=a", "--set", "worker.queue=q")
    variables = made["ConfigMap", "label-services"]["data"]
    known = {
        f"{kind.model_config['env_prefix']}{field}".upper() for kind in CLASSES for field in kind.model_fields
    }
    assert set(variables) <= known
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    cluster, process = CLASSES[0](), CLASSES[3]()
    assert (cluster.instance, cluster.queue, cluster.labels) == ("label", "q", {"team": "a"})
    assert cluster.profile("annotation").resources["limits"] == {"memory": "1500Mi"}
    assert process.runner == "kubernetes"
    assert process.addresses["review"] == "label-review:7411"
    assert set(process.addresses) == set(process_settings.SERVICES)
    workers = made["ConfigMap", "label-workers"]["data"]
    assert workers.items() <= variables.items()


def test_only_services_that_run_jobs_may_and_no_more_than_that():
    made = objects()
    roles = {name: each["rules"] for (kind, name), each in made.items() if kind == "Role"}
    assert set(roles) == {f"label-{service}" for service in conftest.SERVICES if service != "review"}
    for rules in roles.values():
        allowed = {
            (resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]
        }
        assert allowed == {
            *(("jobs", verb) for verb in ("create", "get", "list", "watch", "delete")),
            *((kind, verb) for kind in ("pods", "events") for verb in ("list", "watch")),
            *(("secrets", verb) for verb in ("create", "update")),
        }
    shared = objects("--set", "store.jobCredentials.enabled=false")["Role", "label-critic"]["rules"]
    assert "secrets" not in [resource for rule in shared for resource in rule["resources"]]
    review = made["Deployment", "label-review"]["spec"]["template"]["spec"]
    assert review["automountServiceAccountToken"] is False


def test_two_replicas_have_a_disruption_budget_and_are_kept_apart():
    made = objects("--set", "services.critic.replicas=2")
    assert [name for kind, name in made if kind == "PodDisruptionBudget"] == ["label-critic"]
    for service in conftest.SERVICES:
        pod = made["Deployment", f"label-{service}"]["spec"]["template"]
        constraints = pod["spec"].get("topologySpreadConstraints", [])
        assert len(constraints) == (service == "critic")
        for each in constraints:
            wanted = each["labelSelector"]["matchLabels"]
            assert wanted.items() <= pod["metadata"]["labels"].items()
            assert wanted["app.kubernetes.io/component"] == "critic"


def test_a_policy_lets_in_every_pod_of_the_release_workers_included_and_nobody_else():
    made = objects("--set-json", 'networkPolicy={"enabled":true,"fromNamespaces":[{"team":"a"}]}')
    spec = made["NetworkPolicy", "label"]["spec"]
    # what pods reach is not limited: DNS, API server, database and store stay reachable wherever they are
    assert spec["policyTypes"] == ["Ingress"]
    own, others = spec["ingress"]
    (peer,) = own["from"]
    assert peer == {"podSelector": spec["podSelector"]}
    assert "ports" not in own
    assert others == {
        "from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}],
        "ports": [{"port": 7411}, {"port": 9411}],
    }
    selected = spec["podSelector"]["matchLabels"]
    templates = [
        each["spec"]["template"]["metadata"] for each in made.values() if "template" in each.get("spec", {})
    ]
    pods = [
        *templates,
        *(each["metadata"] for (kind, _), each in made.items() if kind == "Pod"),
        worker(made),
    ]
    assert {pod["labels"]["app.kubernetes.io/component"] for pod in pods} == {
        *conftest.SERVICES, "worker", "postgresql", "minio", "migrate", "test",
    }  # fmt: skip
    for pod in pods:
        assert selected.items() <= pod["labels"].items()


def worker(made):
    """Metadata of the pods that a service of the release would start."""
    spec = protocol.JobSpec(
        name="campaigns/c/annotationJobs/j", kind="annotation", campaign="campaigns/c",
        indexes=1, parallelism=1, artifact="campaigns/c/annotationJobs/j", store_uri="s3://b/p",
    )  # fmt: skip
    instance = made["ConfigMap", "label-services"]["data"]["ACTUARY_KUBERNETES_INSTANCE"]
    job = builder.job_of(
        spec, spec.uri, cluster_settings.KubernetesSettings(namespace="n", instance=instance)
    )
    return {"labels": job.spec.template.metadata.labels}


def test_the_pod_of_helm_test_may_do_nothing_but_call_and_names_its_campaign_after_its_run():
    pod = objects()["Pod", "label-test"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["serviceAccountName"], spec["restartPolicy"]) == ("label-worker", "Never")
    # helm stops waiting after 300 s
    assert spec["activeDeadlineSeconds"] + spec["terminationGracePeriodSeconds"] < 300
    (container,) = spec["containers"]
    assert container["args"][2:] == ["--id", "test-$(POD_UID)", "--server", "label-campaign:7411"]
    campaign = yaml.safe_load(objects()["ConfigMap", "label-test"]["data"]["campaign.yaml"])
    message = clients.parse(campaign)
    validation.check(message)
    assert message.budget.human_label_micros == 0


def test_a_migration_comes_before_install_upgrade_and_rollback_and_does_not_repeat_a_refusal():
    bundled = objects()["Job", "label-migrate"]
    assert bundled["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade,pre-rollback"
    external = objects("--set", "postgresql.enabled=false", "--set", "database.existingSecret=d")
    assert (
        external["Job", "label-migrate"]["metadata"]["annotations"]["helm.sh/hook"]
        == "pre-install,pre-upgrade,pre-rollback"
    )
    (rule,) = bundled["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert servers.REFUSED in rule["onExitCodes"]["values"]


def test_passwords_are_no_part_of_the_values():
    secrets = [each for (kind, _), each in objects().items() if kind == "Secret"]
    assert len(secrets) == 2
    for secret in secrets:
        assert all(len(value) >= 32 for value in secret["stringData"].values())
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_dashboards_are_found_by_grafana_and_rules_by_the_operator_as_they_lie_in_the_chart():
    made = objects("--set", "metrics.rules.enabled=true", "--set", "metrics.rules.labels.release=prom")
    rules = made["PrometheusRule", "label"]
    assert rules["spec"] == yaml.safe_load((conftest.CHART / "rules" / "actuary.yaml").read_text())
    assert rules["metadata"]["labels"]["release"] == "prom"
    boards = {
        name: text
        for each in made.values()
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for name, text in each["data"].items()
    }
    files = (conftest.CHART / "dashboards").glob("*.json")
    assert boards == {f"actuary-{path.name}": path.read_text() for path in files}
    assert boards


def test_dashboards_may_lie_where_grafana_looks():
    made = objects("--set", "metrics.dashboards.namespace=grafana")
    places = {each["metadata"].get("namespace") for (_, name), each in made.items() if "-dashboard-" in name}
    assert places == {"grafana"}


def test_dashboards_and_rules_can_be_left_out():
    made = objects("--set", "metrics.dashboards.enabled=false")
    assert not [name for kind, name in made if kind == "PrometheusRule" or "dashboard" in name]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "minio.enabld=true"], "additional properties 'enabld' not allowed"),
        (["--set", "worker.count=0"], "at '/worker/count': minimum: got 0, want 1"),
        (["--set", "minio.enabled=false"], "store.endpoint: expected the URL of an S3 server"),
        (["--set", "postgresql.enabled=false"], "database.existingSecret: expected the name of a Secret"),
        (["--set", "store.uri=file:///data"], "at '/store/uri'"),
        (["--set", "store.jobCredentials.seconds=60"], "at '/store/jobCredentials/seconds': minimum: got 60"),
        (
            [
                "--set-json",
                'worker.profiles.train.sidecars=[{"name":"s","image":"i","resources":{"limits":{"cpu":1}}}]',
            ],
            "at '/worker/profiles/train/sidecars/0/resources/limits/cpu': got number, want string",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(arguments, said):
    done = render(*arguments)
    assert done.returncode != 0
    assert said in done.stderr


def test_values_and_schema_name_the_same_things():
    values = yaml.safe_load((conftest.CHART / "values.yaml").read_text())
    schema = json.loads((conftest.CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
