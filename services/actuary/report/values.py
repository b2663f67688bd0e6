"""What a report says, as plain values: numbers with their intervals, curves, tables, examples.

They exist so that drawing knows no service and no store: whoever has the artifacts fills these in, `render`
turns them into a page. Everything but what names and counts the campaign may be absent; the page then leaves
that part out, or says why it is not there. Nothing is computed here but differences and shares.

Units: accuracies, risks, shares in [0, 1]; money in micro-dollars; times in seconds.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its interval at the campaign's confidence level."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""
    """`wald`, `gamma`, `hypergeometric`, `clopper-pearson`, `bootstrap`; explained where known."""
    true: float | None = None
    """Agreement with the sealed truth, where there is one. Never an input of the estimate."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassDescription:
    """One possible answer."""

    name: str
    description: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """What an estimate says of one class."""

    name: str
    share: Interval
    """Share of the items that people would give it."""
    process_share: Interval | None = None
    """Its share in the process that the items come from."""
    items: int = 0
    """Items whose machine label, after flips, is the class."""
    reviewed: int = 0
    """Of them, those that people have looked at."""
    corrected_accuracy: Interval | None = None
    """Of the corrected labels among them; None where too few are labelled to say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """What an estimate says of one slice of the data."""

    name: str
    items: int
    """Items that have a label."""
    reviewed: int
    """Of them, those that people have looked at."""
    needed: int = 0
    """Items to look at, in all and by chance, for an interval of 10 points to either side."""
    machine_accuracy: Interval | None = None
    """None where too few are looked at to say; so is the next."""
    corrected_accuracy: Interval | None = None
    shares: tuple[Interval, ...] = ()
    """Share of the slice that people would give each class, in the order of the classes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HumanLabels:
    """The account of human labels."""

    budget: int
    used: int
    asked: str = ""
    """The budget as it was asked for, `20 % of the items` for example; empty for a plain count."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The account of money, in micro-dollars."""

    used_micros: int
    limit_micros: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """Accuracy of the corrected labels at one human budget."""

    human_labels: int
    estimate: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QualityCurve:
    """Quality against budget: what the pilot forecast, what was reached."""

    forecast: tuple[CurvePoint, ...]
    reached: CurvePoint | None = None
    true: tuple[CurvePoint, ...] = ()
    """The true curve, where truth is known; low and high stay absent."""
    notes: tuple[str, ...] = ()
    """What the quote said beside it: where the machine's labels or the critic do not help."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Items of similar predicted risk, and how many of their labels were wrong."""

    predicted: float
    """Mean predicted risk of the bin."""
    observed: float
    """Share of wrong labels, weighted by the design."""
    low: float
    high: float
    items: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """One calibration curve."""

    bins: tuple[ReliabilityBin, ...]
    expected_calibration_error: float | None = None
    by_chance: float | None = None
    """The expected calibration error that perfect calibration would show on as few labels."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CriticQuality:
    """How well the critic tells wrong labels from right ones, measured on random samples (pilot, audit)."""

    strategy: str
    calibrated: Reliability
    """After calibration on the pilot, out of fold."""
    raw: Reliability | None = None
    """The critic's own score, before calibration."""
    auroc: Interval | None = None
    ideal_budget: Interval | None = None
    """Share of the items that a perfect critic would have reviewed."""
    budget_score_ratio: Interval | None = None
    """Annotation budget score: 1 for a perfect critic, the machine's error rate for a random one."""
    budget_score_excess: Interval | None = None
    """The same with a random critic at 0."""
    items: int = 0
    """Human labels that this rests on."""
    worth: str = ""
    """Whether the critic has been shown to be better than chance, in words."""
    embedding: str = ""
    """Whether risks are learned from the items' embeddings, in words; empty where they have none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StageSpend:
    """What one stage cost."""

    stage: str
    """Kind and wave, `annotate 0`; the page says it in words."""
    payer: str
    """`people`, `annotator`, `critic` or another machine."""
    cost_micros: int = 0
    seconds: float = 0.0
    """From the beginning of the stage to its end."""
    items: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SuspiciousItem:
    """One of the items with the highest risk."""

    item_id: str
    risk: float
    """Probability that the machine's label is wrong, as it came (before a flip)."""
    machine_label: str | None
    corrected_label: str | None
    text: str = ""
    question: str = ""
    image: bytes | None = None
    """Encoded as PNG, JPEG, GIF, WebP or BMP."""
    reviewed: bool = False
    human_answer: str | None = None
    """What people said; None with `reviewed` means that they could not tell."""
    truth: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StratumCount:
    """How many items of a wave were drawn into a stratum, and how many of them people answered."""

    wave: int
    stratum: str
    items: int
    answered: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReviewerResult:
    """What one person answered."""

    name: str
    answers: int
    cannot_tell: int
    median_seconds: float | None = None
    doubles: int = 0
    """Items of random samples that somebody else answered too."""
    disagreement: Interval | None = None
    """How often the two differ: a bound on how often this person errs, if people err independently."""
    gold_tasks: int = 0
    """Gold tasks that this person has labelled."""
    gold_error: Interval | None = None
    """How often the label was not the known one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """What two people said of the same items of random samples."""

    first: str
    second: str
    items: int
    agreement: Interval
    cohen_kappa: Interval | None = None
    """Agreement beyond what their own habits would give by chance; None where it is not defined."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSummary:
    """Who answered, and how."""

    reviewers: int = 0
    answers: int = 0
    cannot_tell: int = 0
    median_seconds: float | None = None
    pairs: int = 0
    """Items of the pilot and the audits that two people answered."""
    pair_agreement: Interval | None = None
    krippendorff_alpha: Interval | None = None
    """Agreement beyond chance; 1 is complete, 0 is chance."""
    truth_error_high: float | None = None
    """Upper bound of the corrected labels' error against the truth, if people err independently."""
    reviewer_error_high: float | None = None
    """Upper bound of one reviewer's error rate, from the pairs."""
    truth_note: str = ""
    """Why there is no such bound although items were answered twice."""
    blind_accept_rate: float | None = None
    """How often people chose the machine's label without seeing it."""
    shown_accept_rate: float | None = None
    """The same where they saw it."""
    people: tuple[ReviewerResult, ...] = ()
    pair_results: tuple[PairResult, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelAccuracy:
    """Test accuracy of one trained model."""

    training_set: str
    """`machine`, `act` or `human`."""
    accuracy: Interval


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WeightDiagnostics:
    """How uneven the weights of the human labels are in training."""

    effective_sample_size: float
    """(sum g)² / sum g²."""
    human_labels: int
    largest_weight: float
    weight_cap: float | None = None
    top_percent_share: float | None = None
    """Share of the whole weight that the heaviest 1 % of the labels carry."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOutcome:
    """What training on the result gave."""

    model: str
    accuracies: tuple[ModelAccuracy, ...]
    gap: Interval | None = None
    """Accuracy of `human` minus that of `act`."""
    test_items: int = 0
    weights: WeightDiagnostics | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactReference:
    """An artifact that the report rests on."""

    uri: str
    digest: str
    rows: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim of a certificate."""

    name: str
    """The class that the machine gave; empty where the claim is about all labels."""
    verdict: str
    labels: int
    errors: int | None = None
    """Wrong labels left at most; None where nothing could be proven."""
    audited: int = 0
    wrong: int = 0
    """Of the audited items."""
    unreviewed: int = 0
    needed: int | None = None
    """Items that an audit needs at least; None where the planned one is large enough."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is proven."""

    statement: str
    """The claim in words, a line each."""
    document: str
    """Key of the document in the store."""
    verdict: str
    confidence_level: float
    claims: tuple[Claim, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportValues:
    """Everything that one report says."""

    name: str
    """Resource name, `campaigns/digits`."""
    state: str
    items: int
    """Items to label."""
    human_labels: HumanLabels
    money: Money
    seconds: float
    wave: int
    title: str = ""
    instruction: str = ""
    classes: tuple[ClassDescription, ...] = ()
    data_source: str = ""
    """A URI or the name of a sample; never credentials."""
    annotator: str = ""
    critic: str = ""
    rule: str = ""
    confidence_level: float = 0.95
    machine_accuracy: Interval | None = None
    corrected_accuracy: Interval | None = None
    process_accuracy: Interval | None = None
    """Accuracy of the machine's labels in the process that the items come from."""
    class_results: tuple[ClassResult, ...] = ()
    certificate: Certificate | None = None
    slice_results: tuple[SliceResult, ...] = ()
    unlabelled_rate: float = 0.0
    flipped: int = 0
    """Machine labels that were flipped because that provably pays."""
    curve: QualityCurve | None = None
    critic_quality: CriticQuality | None = None
    spend: tuple[StageSpend, ...] = ()
    suspicious: tuple[SuspiciousItem, ...] = ()
    strata: tuple[StratumCount, ...] = ()
    review: ReviewSummary | None = None
    training: TrainingOutcome | None = None
    notes: tuple[str, ...] = ()
    """What a reader must know: an approximate interval, a stratum that was not finished."""
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    artifacts: tuple[ArtifactReference, ...] = ()
    code_version: str = ""
    finished: datetime.datetime | None = None
    """When the campaign ended; the page shows no other time, so that it can be made again byte for byte."""
