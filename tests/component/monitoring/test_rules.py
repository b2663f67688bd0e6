"""The alert rules: what promtool says of them, and of a case that fires and a quiet one for each."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from component.monitoring import prometheus

pytestmark = pytest.mark.real

CASES = prometheus.ROOT / "tests" / "component" / "monitoring" / "rules_test.yaml"


@pytest.mark.parametrize(
    "arguments", [("check", prometheus.CHART / "rules" / "actuary.yaml"), ("test", CASES)]
)
def test_promtool_finds_nothing_wrong(arguments):
    verb, file = arguments
    command = [prometheus.program("promtool"), verb, "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_that_fires_and_a_quiet_one():
    (group,) = yaml.safe_load((prometheus.CHART / "rules" / "actuary.yaml").read_text())["groups"]
    checks = [
        each for case in yaml.safe_load(CASES.read_text())["tests"] for each in case["promql_expr_test"]
    ]
    for rule in group["rules"]:
        expected = [each["exp_samples"] for each in checks if f'"{rule["alert"]}"' in each["expr"]]
        assert any(expected), rule["alert"]
        assert not all(expected) or rule["alert"] in QUIET_BESIDE, rule["alert"]


QUIET_BESIDE = ("ActuaryNoLeader",)
"""Its quiet case is a series beside the one that fires, which the expected samples leave out."""
