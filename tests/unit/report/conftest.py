"""Values of two reports: one with everything in it, one with nothing that may be absent."""

import datetime
import io

import numpy as np
import pytest

from actuary.report import values as v


def picture(seed: int) -> bytes:
    from PIL import Image
    from sklearn import datasets

    pixels = datasets.load_digits().images[seed]
    stream = io.BytesIO()
    Image.fromarray((255 - pixels * 15.9).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def forecast(labels: int) -> v.CurvePoint:
    estimate = 0.824 + 0.172 * (1 - np.exp(-labels / 260))
    return v.CurvePoint(
        human_labels=labels, estimate=estimate, low=estimate - 0.035, high=min(1.0, estimate + 0.02)
    )


@pytest.fixture
def full() -> v.ReportValues:
    risks = np.linspace(0.97, 0.55, 12)
    bins = [(0.03, 0.02, 0.005, 0.06, 61), (0.11, 0.14, 0.07, 0.24, 40), (0.27, 0.22, 0.12, 0.36, 31),
            (0.52, 0.57, 0.38, 0.74, 18), (0.81, 0.84, 0.6, 0.95, 10)]  # fmt: skip
    raw = [(0.31, 0.02, 0.005, 0.06, 50), (0.38, 0.1, 0.05, 0.19, 44), (0.44, 0.25, 0.15, 0.38, 36),
           (0.55, 0.62, 0.45, 0.77, 30)]  # fmt: skip
    return v.ReportValues(
        name="campaigns/digits",
        title="Handwritten digits",
        state="SUCCEEDED",
        items=1277,
        human_labels=v.HumanLabels(budget=255, used=255, asked="20 % of the items"),
        money=v.Money(used_micros=20_412_300, limit_micros=30_000_000),
        seconds=71.4,
        wave=1,
        instruction="Which digit was written by hand?\nLook at the shape, not at the slant.",
        classes=tuple(v.ClassDescription(name=str(k), description="") for k in range(10)),
        certificate=v.Certificate(
            statement=(
                "With probability at least 95 %, at most 63 of 1277 labels (4.933 %) still differ from what"
                " these reviewers would say; the target of 5 % is met.\nMistakes that all reviewers share"
                " stay invisible."
            ),
            document="campaigns/digits/certificates/certificate-w2/certificate.json",
            verdict="certified",
            confidence_level=0.95,
            claims=(
                v.Claim(
                    name="", verdict="certified", labels=1277, errors=63, audited=240, wrong=6, unreviewed=858
                ),
            ),
        ),
        data_source="sample:digits",
        annotator="exemplar",
        critic="class-probability (linear)",
        rule="threshold",
        machine_accuracy=v.Interval(estimate=0.824, low=0.791, high=0.853, method="wald", true=0.8317),
        corrected_accuracy=v.Interval(estimate=0.9561, low=0.931, high=0.972, method="gamma", true=0.9632),
        process_accuracy=v.Interval(estimate=0.824, low=0.785, high=0.86, method="wald"),
        class_results=tuple(
            v.ClassResult(
                name=str(k),
                share=v.Interval(estimate=0.1 + k / 1000, low=0.08, high=0.125, method="wald"),
                items=120,
                corrected_accuracy=v.Interval(estimate=0.95, low=0.9, high=0.98) if k else None,
            )
            for k in range(10)
        ),
        slice_results=(
            v.SliceResult(
                name="heavy",
                items=420,
                reviewed=90,
                needed=61,
                machine_accuracy=v.Interval(estimate=0.81, low=0.7, high=0.88, method="wald", true=0.82),
                corrected_accuracy=v.Interval(estimate=0.94, low=0.88, high=0.97, method="wald", true=0.95),
                shares=tuple(v.Interval(estimate=0.1, low=0.05, high=0.16) for _ in range(10)),
            ),
            v.SliceResult(name="<none>", items=3, reviewed=0, needed=3),
        ),
        unlabelled_rate=0.0,
        flipped=31,
        curve=v.QualityCurve(
            forecast=tuple(forecast(labels) for labels in range(60, 1278, 58)),
            reached=v.CurvePoint(human_labels=255, estimate=0.9561, low=0.931, high=0.972),
            true=tuple(
                v.CurvePoint(human_labels=labels, estimate=forecast(labels).estimate + 0.004)
                for labels in range(60, 1278, 58)
            ),
        ),
        critic_quality=v.CriticQuality(
            strategy="class-probability",
            items=160,
            worth="the critic tells wrong labels from right ones: 160 labels say so.",
            auroc=v.Interval(estimate=0.871, low=0.81, high=0.922, method="newcombe"),
            ideal_budget=v.Interval(estimate=0.176, low=0.15, high=0.21, method="wald"),
            budget_score_ratio=v.Interval(estimate=0.72, low=0.6, high=0.84, method="wald"),
            budget_score_excess=v.Interval(estimate=0.66, low=0.52, high=0.8, method="wald"),
            raw=v.Reliability(
                expected_calibration_error=0.243,
                bins=tuple(
                    v.ReliabilityBin(predicted=p, observed=o, low=lo, high=hi, items=n)
                    for p, o, lo, hi, n in raw
                ),
            ),
            calibrated=v.Reliability(
                expected_calibration_error=0.028,
                by_chance=0.019,
                bins=tuple(
                    v.ReliabilityBin(predicted=p, observed=o, low=lo, high=hi, items=n)
                    for p, o, lo, hi, n in bins
                ),
            ),
        ),
        spend=(
            v.StageSpend(stage="review 0", payer="people", items=60, cost_micros=4_800_000, seconds=312),
            v.StageSpend(stage="annotate 0", payer="annotator", items=60, tokens_in=3840, cost_micros=420),
            v.StageSpend(
                stage="annotate 1",
                payer="annotator",
                items=1217,
                tokens_in=77888,
                cost_micros=8_900,
                seconds=2.1,
            ),
            v.StageSpend(
                stage="critique 1",
                payer="critic",
                items=1217,
                tokens_in=77888,
                cost_micros=3_000,
                seconds=1.2,
            ),
            v.StageSpend(stage="review 1", payer="people", items=195, cost_micros=15_600_000, seconds=1020),
        ),
        suspicious=tuple(
            v.SuspiciousItem(
                item_id=f"digit-{k:04d}",
                risk=float(risk),
                machine_label="3" if k % 4 else "8",
                corrected_label="8" if k % 3 else "5",
                image=picture(k) if k < 9 else None,
                text="" if k < 9 else "一二三 — Ärger mit dem Gerät, das nach zwei Tagen ausfiel. " * 4,
                reviewed=bool(k % 3),
                human_answer="8" if k % 3 == 1 else None,
                truth="8",
            )
            for k, risk in enumerate(risks)
        ),
        strata=(
            v.StratumCount(wave=0, stratum="pilot", items=60, answered=60),
            v.StratumCount(wave=1, stratum="audit", items=100, answered=100),
            v.StratumCount(wave=1, stratum="certain", items=95, answered=95),
        ),
        review=v.ReviewSummary(
            reviewers=3,
            answers=255,
            cannot_tell=2,
            median_seconds=5.2,
            pairs=20,
            pair_agreement=v.Interval(estimate=0.95, low=0.76, high=0.99),
            krippendorff_alpha=v.Interval(estimate=0.94, low=0.7, high=0.99),
            truth_note="pairs: expected at least 100 doubles for a statement about the truth, got 20",
            people=(
                v.ReviewerResult(
                    name="ada",
                    answers=150,
                    cannot_tell=1,
                    median_seconds=4.1,
                    doubles=20,
                    disagreement=v.Interval(estimate=0.05, low=0.001, high=0.249, method="clopper-pearson"),
                ),
                v.ReviewerResult(name="<bob>", answers=105, cannot_tell=1),
            ),
            pair_results=(
                v.PairResult(
                    first="<bob>",
                    second="ada",
                    items=20,
                    agreement=v.Interval(estimate=0.95, low=0.751, high=0.999),
                    cohen_kappa=v.Interval(estimate=0.93, low=0.7, high=1.0),
                ),
                v.PairResult(
                    first="ada", second="cy", items=1, agreement=v.Interval(estimate=1.0, low=0.03, high=1.0)
                ),
            ),
            blind_accept_rate=0.82,
            shown_accept_rate=0.88,
        ),
        training=v.TrainingOutcome(
            model="linear",
            test_items=500,
            accuracies=(
                v.ModelAccuracy(
                    training_set="machine", accuracy=v.Interval(estimate=0.846, low=0.812, high=0.875)
                ),
                v.ModelAccuracy(
                    training_set="act", accuracy=v.Interval(estimate=0.928, low=0.902, high=0.948)
                ),
                v.ModelAccuracy(
                    training_set="human", accuracy=v.Interval(estimate=0.942, low=0.918, high=0.959)
                ),
            ),
            gap=v.Interval(estimate=0.014, low=-0.004, high=0.031),
            weights=v.WeightDiagnostics(
                effective_sample_size=141.2,
                human_labels=255,
                largest_weight=9.8,
                weight_cap=5,
                top_percent_share=0.021,
            ),
        ),
        notes=("The interval of the corrected labels is approximate: 12 errors were found, fewer than 20.",),
        parameters={"sampling.pilot_items": "60", "sampling.rule": "threshold", "seed": "7"},
        artifacts=tuple(
            v.ArtifactReference(uri=f"campaigns/digits/{name}", digest=f"{k:x}" * 64, rows=1277)
            for k, name in enumerate(("annotations-w1", "critiques-w1", "plans-w1", "resolved-w1"), start=10)
        ),
        code_version="0.1.0",
        finished=datetime.datetime(2026, 3, 2, 14, 5, tzinfo=datetime.UTC),
    )


@pytest.fixture
def minimal() -> v.ReportValues:
    return v.ReportValues(
        name="campaigns/reviews",
        state="RUNNING",
        items=10,
        human_labels=v.HumanLabels(budget=5, used=0),
        money=v.Money(used_micros=0),
        seconds=0.0,
        wave=0,
    )
