import json

import numpy as np
import pytest

from actuary.stats import designs, placing

INF = float("inf")


def phase(**changes):
    values = {"name": "p", "kind": "srs", "population": 10, "certain": 0, "sampled": 4, "tau": None}
    return placing.Phase(**{**values, **changes})


def test_a_phase_and_a_design_survive_json():
    design = designs.Design(
        phases=(phase(), phase(kind="priority", population=6, sampled=3, tau=0.25)), omega=(0.4, 0.6)
    )

    assert designs.Design.from_record(json.loads(json.dumps(design.to_record()))) == design


def test_the_more_precise_phase_weighs_more_and_a_tiny_one_nothing():
    tiny = phase(sampled=1)

    assert designs.combine([phase(), phase(), tiny], [1.0, 3.0, 0.5]).omega == (0.75, 0.25, 0.0)
    assert designs.combine([phase(), phase()], [1.0, INF]).omega == (1.0, 0.0)


def test_a_phase_that_knows_everything_gets_everything():
    assert designs.combine([phase(), phase(sampled=10)], [1.0, 0.0]).omega == (0.0, 1.0)


def test_a_later_wave_scales_the_earlier_weights():
    design = designs.Design(phases=(phase(), phase()), omega=(0.25, 0.75))

    assert designs.extend(design, [phase()], [0.5]).omega == (0.125, 0.375, 0.5)


def test_weights_by_hand():
    design = designs.Design(phases=(phase(), phase(), phase()), omega=(0.2, 0.3, 0.5))

    g = designs.weights(design, [0, 1, 1, 2], [0.1, 0.5, INF, 1.0])

    np.testing.assert_allclose(g, [2.8, 1.1, 0.5, 0.5])


DESIGN = designs.Design(phases=(phase(),), omega=(1.0,))


@pytest.mark.parametrize(
    "call",
    [
        lambda: designs.Design(phases=(phase(),), omega=(0.5,)),
        lambda: designs.Design(phases=(phase(),), omega=(0.5, 0.5)),
        lambda: designs.Design(phases=(), omega=()),
        lambda: designs.Design(phases=(phase(sampled=1),), omega=(1.0,)),
        lambda: designs.combine([phase()], [1.0, 2.0]),
        lambda: designs.combine([phase()], [-1.0]),
        lambda: designs.combine([phase()], [float("nan")]),
        lambda: designs.combine([phase(sampled=1)], [1.0]),
        lambda: designs.extend(DESIGN, [phase(), phase()], [0.7, 0.7]),
        lambda: designs.extend(DESIGN, [phase()], [-0.1]),
        lambda: designs.weights(DESIGN, [1], [0.5]),
        lambda: designs.weights(DESIGN, [0], [0.0]),
        lambda: designs.weights(DESIGN, [0], [1.5]),
        lambda: designs.weights(DESIGN, [0], [float("nan")]),
        lambda: designs.weights(DESIGN, [0, 0], [0.5]),
    ],
)
def test_designs_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()
